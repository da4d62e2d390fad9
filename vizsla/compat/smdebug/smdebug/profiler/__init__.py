"""Only what scripts take from here: `smdebug.profiler.utils.str2bool`. Profiling is `vizsla`'s own."""
