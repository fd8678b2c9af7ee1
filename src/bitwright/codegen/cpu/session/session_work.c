struct work {
    void (*run)(ENTRY_PARAMETERS);
    void *const *table;
};

static void run_part(
    const struct work *work, struct team *team, int64_t thread, int64_t threads
) {
    work->run(work->table, team, thread, threads);
}
