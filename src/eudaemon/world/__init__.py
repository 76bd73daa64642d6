"""The pretended host: files, users, shell, personas as data; seeded per sensor. Executes nothing."""
