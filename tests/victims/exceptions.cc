// C++ exceptions through many frames: destructors run in order, once each; rethrown; caught by base; with cleanup in a thread.
#include "victim.h"
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static thread_local int alive;
static thread_local std::vector<int> order;

struct Kept {
    int number;
    explicit Kept(int n) : number(n) { alive++; }
    ~Kept()
    {
        alive--;
        order.push_back(number);
    }
};

struct Special : std::runtime_error {
    int code;
    Special(const std::string &what, int c) : std::runtime_error(what), code(c) {}
};

static NOINLINE int dive(int depth, int at)
{
    Kept kept(depth);
    if (depth == at)
        throw Special("at " + std::to_string(depth), depth * 7);
    auto held = std::make_unique<std::string>(static_cast<size_t>(depth % 50), 'x');
    return dive(depth + 1, at) + static_cast<int>(held->size());
}

static NOINLINE int twice(int at)
{
    try {
        return dive(0, at);
    } catch (const std::logic_error &) {
        WRONG("caught as what it is not");
    } catch (...) {
        Kept kept(-1);
        throw;
    }
}

static void work(int rounds)
{
    for (int i = 0; i < rounds; i++) {
        int at = 1 + i % 60;
        order.clear();
        bool caught = false;
        try {
            twice(at);
        } catch (const std::runtime_error &error) {
            caught = true;
            const auto *special = dynamic_cast<const Special *>(&error);
            check(special && special->code == at * 7, "the wrong exception");
            check(error.what() == "at " + std::to_string(at), "says %s", error.what());
        }
        check(caught, "nothing was caught");
        check(alive == 0, "%d were not destroyed", alive);
        check(order.size() == static_cast<size_t>(at) + 2, "%zu destroyed", order.size());
        for (int k = 0; k <= at; k++)
            check(order[static_cast<size_t>(k)] == at - k, "destroyed out of order");
        check(order.back() == -1, "the catch block's own came last");
    }
}

int main()
{
    while (victim_round()) {
        work(60);
        std::thread other(work, 20);
        other.join();
    }
    return victim_end();
}
