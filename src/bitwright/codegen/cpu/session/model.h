/* {model}: a language model compiled by Bitwright for {cpu}.
 *
 * A session is a text at work: its cache of keys and values, its position, and the memory that the
 * computation needs. Tokens go in, logits come out: BW_VOCABULARY float32 for a token, of the token
 * after it. Logits do not depend on how a text is cut into calls, nor on the threads.
 *
 * Functions that return int return BW_OK or one of the other codes below; then the session is as it
 * was before. A session allocates when it is created and never after. Sessions are independent:
 * each may be used by one thread at a time. After bw_set_threads(n) a call uses n threads, its
 * caller's among them.
 */
{begin}
#define BW_VOCABULARY {vocabulary} /* tokens are 0 to BW_VOCABULARY - 1 */
#define BW_CONTEXT {context} /* positions of a session, at most */

enum {{
    BW_OK = 0,
    BW_CPU_TOO_OLD = 1,   /* this processor lacks an instruction: see bw_missing_cpu_feature */
    BW_BAD_ARGUMENT = 2,  /* a null pointer, a number out of range */
    BW_NO_THREADS = 3,    /* the system gave fewer threads */
    BW_NO_WEIGHTS = 4,    /* the file of weights cannot be opened */
    BW_OTHER_WEIGHTS = 5, /* it is not the one that was compiled with this library, or not whole */
    BW_NO_MEMORY = 6,
    BW_BAD_TOKEN = 7,     /* a token that the model does not have; nothing was computed */
    BW_CONTEXT_FULL = 8,  /* more tokens than positions are left; nothing was computed */
    BW_NOT_FINITE = 9     /* logits that are no numbers: the model is damaged */
}};

typedef struct bw_session bw_session;

/* A session at position 0. weights: {weights}.
 * context: positions that it can hold, 1 to BW_CONTEXT, 0 for BW_CONTEXT; its cache takes {position_bytes}
 * bytes for each. */
int bw_session_create(const char *weights, int64_t context, bw_session **session);
void bw_session_free(bw_session *session); /* NULL is allowed */

/* `count` tokens from the session's position on. `logits` gets those of the last `wanted` of them,
 * one row after the other; it may be NULL where `wanted` is 0. */
int bw_prefill(
    bw_session *session, const int32_t *tokens, int64_t count, float *logits, int64_t wanted);

/* One token; its logits. */
int bw_step(bw_session *session, int32_t token, float *logits);

/* Back to position 0. */
int bw_reset(bw_session *session);

int64_t bw_position(const bw_session *session); /* tokens that it has seen */
int64_t bw_context(const bw_session *session);

/* The `length` bytes of text that a token stands for (UTF-8, of which one token may have a part);
 * NULL for a token that the model does not have, or where it came without a tokenizer. */
const char *bw_token_text(const bw_session *session, int32_t token, size_t *length);

/* Threads of a call, 1 to 256; 1 at first. The others are started here and sleep while there is
 * nothing to do. A call that finds them at work for another session runs in its caller's thread
 * alone. */
int bw_set_threads(int threads);

int64_t bw_vocabulary(void);
int64_t bw_largest_context(void);
const char *bw_weights_file(void); /* NULL where the weights lie in the library */
{common}