/* An object is used after it was deleted; what the peer said lies in its place. Messages: the first byte says what to do. */
#include "hostile.h"

struct greeter {
    virtual void greet(const char *name) = 0;
    virtual ~greeter() {}
    char name[80];
};

static volatile int greeted;

struct polite : greeter {
    void greet(const char *name) override { greeted += name[0]; }
};

/* The method that an ordinary peer never reaches. */
struct privileged : greeter {
    void greet(const char *) override { hijacked(); }
};

static void prepare(void)
{
    static privileged one;
    at("vtable", (uint64_t)(uintptr_t) * (void **)&one);
    at("object", sizeof one);
}

static greeter *volatile current;
static void *volatile remark;

static NOINLINE void use() { current->greet("peer"); }

static void handle(uint8_t *data, size_t bytes)
{
    current = new polite;
    if (bytes < sizeof(polite)) {
        use();
        delete current;
        return;
    }
    delete current;
    remark = malloc(sizeof(polite)); /* the allocator gives the same place again */
    memcpy(remark, data, sizeof(polite));
    use();
    free(remark);
}
