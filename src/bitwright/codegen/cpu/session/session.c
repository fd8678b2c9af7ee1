struct bw_session {
    const unsigned char *weights;
    int64_t context, position;
    int32_t *tokens, *first; /* of a chunk: its tokens, the position of the first */
    float *logits;           /* of a chunk */
    void **prefill, **decode;
};

int64_t bw_vocabulary(void) { return BW_VOCABULARY; }
int64_t bw_largest_context(void) { return BW_CONTEXT; }

/* Adds a part to a block of memory; where it begins. */
static size_t add(size_t *end, size_t size) {
    size_t start = *end;
    *end = start + (size + alignment - 1) / alignment * alignment;
    return start;
}

int bw_session_create(const char *weights, int64_t context, bw_session **session) {
    if (bw_missing_cpu_feature() != NULL) return BW_CPU_TOO_OLD;
    if (session == NULL || context < 0 || context > BW_CONTEXT) return BW_BAD_ARGUMENT;
    *session = NULL;
    if (context == 0) context = BW_CONTEXT;
    const struct function *const functions[] = {&chosen()->code.prefill, &chosen()->code.decode};
    size_t size = 0, tables[2];
    size_t own = add(&size, sizeof(bw_session));
    for (int f = 0; f < 2; f++)
        tables[f] = add(&size, (size_t)functions[f]->count * sizeof(void *));
    size_t tokens = add(&size, prompt_rows * sizeof(int32_t));
    size_t first = add(&size, sizeof(int32_t));
    size_t logits = add(&size, (size_t)prompt_rows * BW_VOCABULARY * sizeof(float));
    size_t arena = add(&size, arena_bytes);
    /* a prompt is padded to whole chunks, behind the last position too */
    size_t cache_bytes = (size_t)(context + prompt_rows - 1) * position_bytes;
    size_t cache = add(&size, cache_bytes);
    size_t cache_step = size - cache;
    size += (caches - 1) * cache_step;
    const unsigned char *mapped = NULL;
    int status = open_weights(weights, &mapped);
    if (status != BW_OK) return status;
    unsigned char *block = aligned_alloc(alignment, size);
    if (block == NULL) {
        close_weights(mapped);
        return BW_NO_MEMORY;
    }
    bw_session *made = (bw_session *)(block + own);
    *made = (bw_session){
        .weights = mapped, .context = context, .tokens = (int32_t *)(block + tokens),
        .first = (int32_t *)(block + first), .logits = (float *)(block + logits),
        .prefill = (void **)(block + tables[0]), .decode = (void **)(block + tables[1]),
    };
    for (int f = 0; f < 2; f++) {
        void **table = (void **)(block + tables[f]);
        for (int64_t i = 0; i < functions[f]->count; i++) {
            struct slot slot = functions[f]->slots[i];
            switch (slot.kind) {
            case ARENA: table[i] = block + arena; break;
            case TOKENS: table[i] = made->tokens; break;
            case POSITION: table[i] = made->first; break;
            case LOGITS: table[i] = made->logits; break;
            case CACHE: table[i] = block + cache + slot.at * cache_step; break;
            case WEIGHTS: table[i] = (void *)(uintptr_t)(mapped + slot.at); break;
            }
        }
    }
    *session = made;
    return BW_OK;
}

void bw_session_free(bw_session *session) {
    if (session == NULL) return;
    close_weights(session->weights);
    free(session);
}

int64_t bw_position(const bw_session *session) { return session->position; }
int64_t bw_context(const bw_session *session) { return session->context; }

int bw_reset(bw_session *session) {
    if (session == NULL) return BW_BAD_ARGUMENT;
    session->position = 0; /* what the cache holds is overwritten before it is seen */
    return BW_OK;
}

static bool are_finite(const float *numbers, int64_t count) {
    const uint32_t infinite = 0x7f800000;
    uint32_t most = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, numbers + i, sizeof bits);
        bits &= infinite;
        most = bits > most ? bits : most;
    }
    return most < infinite;
}

int bw_prefill(
    bw_session *session, const int32_t *tokens, int64_t count, float *logits, int64_t wanted
) {
    if (session == NULL || tokens == NULL || count < 1) return BW_BAD_ARGUMENT;
    if (wanted < 0 || wanted > count || (wanted > 0 && logits == NULL)) return BW_BAD_ARGUMENT;
    for (int64_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= BW_VOCABULARY) return BW_BAD_TOKEN;
    if (count > session->context - session->position) return BW_CONTEXT_FULL;
    const struct code *code = &chosen()->code;
    const int64_t start = session->position;
    for (int64_t done = 0; done < count;) {
        bool alone = count - done == 1;
        int64_t rows = count - done < prompt_rows ? count - done : prompt_rows;
        for (int64_t i = 0; i < (alone ? 1 : prompt_rows); i++)
            session->tokens[i] = i < rows ? tokens[done + i] : 0;
        *session->first = (int32_t)session->position;
        struct work work = {code->prefill.run, session->prefill};
        if (alone) work = (struct work){code->decode.run, session->decode};
        run(&work);
        if (!are_finite(session->logits, rows * BW_VOCABULARY)) {
            session->position = start;
            return BW_NOT_FINITE;
        }
        int64_t skipped = count - wanted - done; /* rows of this chunk that are not wanted */
        if (skipped < 0) skipped = 0;
        for (int64_t i = skipped; i < rows; i++, logits += BW_VOCABULARY)
            memcpy(logits, session->logits + i * BW_VOCABULARY, BW_VOCABULARY * sizeof(float));
        done += rows;
        session->position += rows;
    }
    return BW_OK;
}

int bw_step(bw_session *session, int32_t token, float *logits) {
    return bw_prefill(session, &token, 1, logits, 1);
}

const char *bw_token_text(const bw_session *session, int32_t token, size_t *length) {
    if (!has_texts || session == NULL || token < 0 || token >= BW_VOCABULARY) return NULL;
    const uint32_t *ends = (const uint32_t *)(session->weights + ends_at);
    if (length != NULL) *length = ends[token + 1] - ends[token];
    return (const char *)(session->weights + texts_at + ends[token]);
}
