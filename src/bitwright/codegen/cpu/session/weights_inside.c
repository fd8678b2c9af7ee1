__asm__(
    ".pushsection .rodata\n"
    ".balign 64\n"
    "model_weights:\n"
    ".incbin \"" WEIGHTS_FILE "\"\n"
    ".popsection\n"
);
extern const unsigned char model_weights[] __attribute__((visibility("hidden")));

const char *bw_weights_file(void) { return NULL; }

static int open_weights(const char *path, const unsigned char **weights) {
    if (path != NULL) return BW_BAD_ARGUMENT;
    *weights = model_weights;
    return BW_OK;
}

static void close_weights(const unsigned char *weights) { (void)weights; }
