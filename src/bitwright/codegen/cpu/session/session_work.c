struct work {
    void (*run)(ENTRY_PARAMETERS);
    void *const *table;
};

static void do_work(const struct work *work, struct member *member, int64_t threads) {
    work->run(work->table, member, threads);
}
