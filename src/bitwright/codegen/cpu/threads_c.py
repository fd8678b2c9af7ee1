"""The C of a library's threads: phases of a job, whose parts are done by whoever comes first.

A library declares the job before `THREADS`: `struct work`, and `do_work(work, member, threads)`,
which is called in each thread and asks `member->next` for parts (`shared_c.INCLUDES`).
"""

THREADS = """\
enum { most_threads = 256, line = 64, longest_spin = 100000 /* nanoseconds */ };

/* A number that grows (and wraps), and threads that wait until it has reached another one. */
struct counter {
    _Alignas(line) atomic_uint value;
    atomic_uint sleepers;
    pthread_mutex_t lock;
    pthread_cond_t grown;
};
#define COUNTER {.lock = PTHREAD_MUTEX_INITIALIZER, .grown = PTHREAD_COND_INITIALIZER}

static const unsigned closed = UINT_MAX;

/* The workers of bw_set_threads. One job has them at a time; another runs alone meanwhile. */
static struct {
    struct counter jobs;     /* given out */
    struct counter phases;   /* done, in all jobs */
    struct counter leavings; /* of workers, from all jobs */
    _Alignas(line) atomic_uint parts; /* of this phase that are done */
    struct { _Alignas(line) atomic_uint phase; } claimed[most_threads]; /* the last, of each part */
    _Alignas(line) atomic_uint entered; /* workers that are at this job, or `closed` */
    atomic_flag busy;
    bool stop;
    unsigned first_phase; /* of this job */
    pthread_t workers[most_threads];
    int64_t threads;
    struct work work;
} pool = {
    .jobs = COUNTER, .phases = COUNTER, .leavings = COUNTER, .busy = ATOMIC_FLAG_INIT,
    .entered = UINT_MAX, .threads = 1,
};

static bool has_reached(struct counter *counter, unsigned number) {
    return (int)(atomic_load(&counter->value) - number) >= 0;
}

static int64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Spins at first: on a free processor the others are soon done. Where they have to wait for
 * processors that others use, it sleeps, so that this one is free for them. */
static void wait_until(struct counter *counter, unsigned number) {
    int64_t end = 0;
    for (int64_t turn = 0; !has_reached(counter, number); turn++) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
        if (turn % 32 != 31) continue;
        int64_t now = nanoseconds();
        if (end == 0) end = now + longest_spin;
        if (now < end) continue;
        pthread_mutex_lock(&counter->lock);
        atomic_fetch_add(&counter->sleepers, 1);
        while (!has_reached(counter, number)) pthread_cond_wait(&counter->grown, &counter->lock);
        atomic_fetch_sub(&counter->sleepers, 1);
        pthread_mutex_unlock(&counter->lock);
    }
}

static void wake(struct counter *counter) {
    if (atomic_load(&counter->sleepers) == 0) return;
    pthread_mutex_lock(&counter->lock);
    pthread_cond_broadcast(&counter->grown);
    pthread_mutex_unlock(&counter->lock);
}

/* A phase ends when all its parts are claimed by it or a later one, and done; so a thread that
 * comes late finds nothing to claim in it. */
static bool claim(int64_t part, unsigned phase) {
    atomic_uint *place = &pool.claimed[part].phase;
    unsigned last = atomic_load_explicit(place, memory_order_relaxed);
    return (int)(last - phase) < 0 && atomic_compare_exchange_strong(place, &last, phase);
}

static int64_t next_part(struct member *member, int64_t parts) {
    if (member->has_part && atomic_fetch_add(&pool.parts, 1) == (unsigned)parts - 1) {
        atomic_store(&pool.parts, 0);
        atomic_store(&pool.phases.value, member->phase);
        wake(&pool.phases);
    }
    member->has_part = false;
    for (int64_t i = 0; i < parts && !has_reached(&pool.phases, member->phase); i++) {
        int64_t part = (member->thread + i) % parts; /* its own one first */
        if (claim(part, member->phase)) {
            member->has_part = true;
            return part;
        }
    }
    wait_until(&pool.phases, member->phase);
    member->phase++;
    return parts;
}

static void do_together(int64_t thread) {
    struct member member = {.next = next_part, .thread = thread, .phase = pool.first_phase};
    do_work(&pool.work, &member, pool.threads);
}

static void *wait_for_work(void *thread) {
    for (unsigned job = 1;; job++) {
        wait_until(&pool.jobs, job);
        unsigned others = atomic_load(&pool.entered);
        while (others != closed)
            if (atomic_compare_exchange_weak(&pool.entered, &others, others + 1)) break;
        if (others == closed) continue; /* it was done without this thread */
        if (pool.stop) return NULL;
        do_together((intptr_t)thread);
        atomic_fetch_add(&pool.leavings.value, 1);
        wake(&pool.leavings);
    }
}

static void give_out(bool stop) {
    pool.stop = stop;
    pool.first_phase = atomic_load(&pool.phases.value) + 1;
    atomic_store(&pool.entered, 0);
    atomic_fetch_add(&pool.jobs.value, 1);
    wake(&pool.jobs);
}

/* Whether there were workers, and free ones. */
static bool run_together(const struct work *work) {
    if (atomic_flag_test_and_set_explicit(&pool.busy, memory_order_acquire)) return false;
    bool together = pool.threads > 1;
    if (together) {
        unsigned left = atomic_load(&pool.leavings.value);
        pool.work = *work;
        give_out(false);
        do_together(0);
        wait_until(&pool.leavings, left + atomic_exchange(&pool.entered, closed));
    }
    atomic_flag_clear_explicit(&pool.busy, memory_order_release);
    return together;
}

static void run(const struct work *work) {
    if (!run_together(work)) do_work(work, NULL, 1);
}

static void stop_workers(void) {
    if (pool.threads > 1) give_out(true);
    for (int64_t i = 1; i < pool.threads; i++) pthread_join(pool.workers[i], NULL);
    pool.threads = 1;
}

int bw_set_threads(int threads) {
    if (threads < 1 || threads > most_threads) return BW_BAD_ARGUMENT;
    while (atomic_flag_test_and_set_explicit(&pool.busy, memory_order_acquire)) sched_yield();
    stop_workers();
    atomic_store(&pool.entered, closed);
    atomic_store(&pool.jobs.value, 0);
    for (int64_t i = 0; i < threads; i++) /* what was long ago must not seem to come */
        atomic_store(&pool.claimed[i].phase, atomic_load(&pool.phases.value));
    int64_t made = 1;
    while (made < threads
           && pthread_create(&pool.workers[made], NULL, wait_for_work, (void *)(intptr_t)made) == 0)
        made++;
    pool.threads = made;
    atomic_flag_clear_explicit(&pool.busy, memory_order_release);
    return made == threads ? BW_OK : BW_NO_THREADS;
}

static __attribute__((destructor)) void end_workers(void) { bw_set_threads(1); }
"""
