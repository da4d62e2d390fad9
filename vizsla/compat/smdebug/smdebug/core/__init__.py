"""What does not depend on the framework, under the names smdebug gave its modules."""
