"""Every question that the page asks of the store, in one place: bounded, with parameters, in ClickHouse's SQL."""
