"""A database in memory that stands in for the core's ArangoDB, behind the interface of its Python driver.

It answers the queries that the core generates for what the tests use. Whatever it does not know (a clause, a function,
an option) is an error that names the query, never an empty answer.
"""
