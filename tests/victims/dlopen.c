/* Libraries are loaded and unloaded, in turn, so that one's code lies where the other's was. */
#include "victim.h"
#include <dlfcn.h>

int main(int argc, char **argv)
{
    check(argc == 3, "the two libraries are the arguments");
    while (victim_round())
        for (int i = 0; i < 10; i++) {
            int want = i % 2 ? 22 : 11;
            void *library = dlopen(argv[1 + i % 2], i % 3 ? RTLD_NOW : RTLD_LAZY);
            check(library != 0, "%s", dlerror());
            int (*value)(void) = (int (*)(void))dlsym(library, "plugin_value"), (*count)(void) = (int (*)(void))dlsym(library, "plugin_count");
            check(value && count && value() == want && count() == want + 1, "%d", value());
            check(dlclose(library) == 0);
        }
    return victim_end();
}
