/* What dlopen.c loads: two libraries are made of it, with different VALUE, that take each other's place. */
static int constructed;
__attribute__((constructor)) static void begin(void) { constructed = VALUE; }
static __thread int counted = VALUE;
int plugin_value(void) { return constructed; }
int plugin_count(void) { return ++counted; }
