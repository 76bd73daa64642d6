"""SQL as three products understand it, over small tables of the sensor's own.

| module | owns |
|---|---|
| `tokens` | words, literals, signs; `SqlError` |
| `parser`, `expressions` | from tokens to trees, and what they come to |
| `values`, `functions`, `parameters` | values and their types, the products' functions, placeholders |
| `query`, `cursors` | SELECT, UNION, WITH; rows one by one |
| `tables` | databases, tables and rows, all within a purse |
| `engine`, `session` | statements, and what a client has besides: a machine, files, libraries' functions |
"""
