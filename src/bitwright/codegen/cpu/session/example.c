/* Continues a prompt. In this folder: cc -O2 example.c -I. -L. -lmodel -Wl,-rpath,'$ORIGIN' -lm -o example */
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage[] =
    "usage: example [-n TOKENS] [-t TEMPERATURE] [-s SEED] [-j THREADS] TOKEN...\n"
    "Prints what the model says after these tokens, at temperature 0 (the default) the most likely "
    "ones.\n";

static double seconds(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A number from 0 to below 1 (xorshift64*; Vigna, arXiv 1402.6246). */
static double draw(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)((*state * 0x2545f4914f6cdd1d) >> 11) / 9007199254740992.0;
}

static int32_t next_token(const float *logits, double temperature, uint64_t *state) {
    int32_t best = 0;
    for (int32_t i = 1; i < BW_VOCABULARY; i++)
        if (logits[i] > logits[best]) best = i;
    if (temperature == 0) return best;
    double total = 0;
    for (int32_t i = 0; i < BW_VOCABULARY; i++)
        total += exp((logits[i] - logits[best]) / temperature);
    double left = draw(state) * total;
    for (int32_t i = 0; i < BW_VOCABULARY; i++) {
        left -= exp((logits[i] - logits[best]) / temperature);
        if (left < 0) return i;
    }
    return best;
}

static int fail(const char *what, int status) {
    fprintf(stderr, "%s: code %d of model.h\n", what, status);
    return EXIT_FAILURE;
}

int main(int count, char **arguments) {
    static int32_t prompt[BW_CONTEXT];
    static float logits[BW_VOCABULARY];
    int64_t wanted = 64, given = 0;
    double temperature = 0;
    uint64_t state = 1;
    int threads = 1;
    for (int i = 1; i < count; i++) {
        char *value = arguments[i];
        if (value[0] == '-' && value[1] != 0 && strchr("ntsj", value[1]) && i + 1 < count) {
            const char *number = arguments[++i];
            if (value[1] == 'n') wanted = atoll(number);
            if (value[1] == 't') temperature = atof(number);
            if (value[1] == 's') state = 2 * strtoull(number, NULL, 10) + 1;
            if (value[1] == 'j') threads = atoi(number);
        } else if (given < BW_CONTEXT) {
            prompt[given++] = (int32_t)strtol(value, &value, 10);
            if (*value != 0) given = BW_CONTEXT + 1;
        }
    }
    if (given < 1 || given > BW_CONTEXT || wanted < 1 || temperature < 0) {
        fputs(usage, stderr);
        return EXIT_FAILURE;
    }
    if (bw_missing_cpu_feature() != NULL) {
        fprintf(stderr, "this processor lacks %s\n", bw_missing_cpu_feature());
        return EXIT_FAILURE;
    }
    bw_session *session;
    int status = bw_set_threads(threads);
    int64_t context = given + wanted < BW_CONTEXT ? given + wanted : BW_CONTEXT;
    if (status == BW_OK) status = bw_session_create(NULL, context, &session);
    if (status != BW_OK) return fail("no session", status);

    double start = seconds();
    status = bw_prefill(session, prompt, given, logits, 1);
    if (status != BW_OK) return fail("the prompt", status);
    double prompted = seconds();
    int64_t made = 0;
    while (made < wanted) {
        int32_t token = next_token(logits, temperature, &state);
        size_t length = 0;
        const char *text = bw_token_text(session, token, &length);
        if (text != NULL) fwrite(text, 1, length, stdout);
        else printf("%d ", token);
        fflush(stdout);
        if (++made == wanted || bw_position(session) == bw_context(session)) break;
        status = bw_step(session, token, logits);
        if (status != BW_OK) return fail("a step", status);
    }
    double end = seconds();
    putchar('\n');
    fprintf(
        stderr, "%s on %s, %d threads: prompt %.1f tokens/s, generated %.1f tokens/s\n",
        bw_model_name(), bw_cpu(), threads, (double)given / (prompted - start),
        (double)made / (end - prompted));
    bw_session_free(session);
    return EXIT_SUCCESS;
}
