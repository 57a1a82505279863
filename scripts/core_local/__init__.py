"""A local core: the real core 4.1.0 on a database in memory, for tests and trials."""
