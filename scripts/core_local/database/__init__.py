"""A database in memory that stands in for the core's ArangoDB, behind the interface of its Python driver.

It executes the queries that the core generates for the features that the tests use. An unknown clause, function or
option is an error that names the query, never an empty result.
"""
