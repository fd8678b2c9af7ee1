#include <stdlib.h>
#include <string.h>

#define ENTRY_PARAMETERS void *const *, struct member *, int64_t

/* Where an argument of an entry lies; `at` is the number of a cache, or a place in the weights. */
enum slot_kind { ARENA, TOKENS, POSITION, CACHE, LOGITS, WEIGHTS };
struct slot {
    enum slot_kind kind;
    uint64_t at;
};

/* An entry takes one table of addresses. */
struct function {
    void (*run)(ENTRY_PARAMETERS);
    const struct slot *slots;
    int64_t count;
};

struct code {
    struct function prefill, decode;
};
