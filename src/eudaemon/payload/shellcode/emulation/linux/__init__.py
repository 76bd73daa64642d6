"""The pretended Linux: the system calls that shellcodes make, on four CPUs. `numbers` is the data, `system` answers."""
