"""What a report page is made of: a file a section, each turning what was read into a `page.Section`, or None."""
