"""Records and documents of a job or a sweep to what a person reads: figures, sections, a page. Never torch."""
