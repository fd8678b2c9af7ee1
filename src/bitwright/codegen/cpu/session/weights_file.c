#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

const char *bw_weights_file(void) { return WEIGHTS_FILE; }

/* The file beside the library; false where the system does not tell, or the path is too long. */
static bool beside(char *path, size_t size) {
    Dl_info library;
    if (dladdr(&levels, &library) == 0 || library.dli_fname == NULL) return false;
    const char *end = strrchr(library.dli_fname, '/');
    int folder = end == NULL ? 0 : (int)(end - library.dli_fname + 1);
    int length = snprintf(path, size, "%.*s%s", folder, library.dli_fname, WEIGHTS_FILE);
    return length > 0 && (size_t)length < size;
}

/* Read-only, so that all sessions and processes share the memory. */
static int open_weights(const char *path, const unsigned char **weights) {
    char own[4096];
    if (path == NULL && !beside(own, sizeof own)) return BW_NO_WEIGHTS;
    int file = open(path != NULL ? path : own, O_RDONLY | O_CLOEXEC);
    if (file < 0) return BW_NO_WEIGHTS;
    struct stat found;
    unsigned char end[sizeof seal];
    int status = BW_OTHER_WEIGHTS;
    if (fstat(file, &found) == 0 && (size_t)found.st_size == weight_bytes + sizeof seal
        && pread(file, end, sizeof end, (off_t)weight_bytes) == (ssize_t)sizeof end
        && memcmp(end, seal, sizeof seal) == 0) {
        void *mapped = mmap(NULL, weight_bytes, PROT_READ, MAP_SHARED, file, 0);
        status = mapped == MAP_FAILED ? BW_NO_MEMORY : BW_OK;
        *weights = mapped;
    }
    close(file);
    return status;
}

static void close_weights(const unsigned char *weights) {
    munmap((void *)(uintptr_t)weights, weight_bytes);
}
