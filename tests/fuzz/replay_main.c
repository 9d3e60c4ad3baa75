/* main() for harnesses without libFuzzer: runs every file of tests/fuzz/corpus/NAME (NAME from the
 * program's name fuzz_NAME, or directories given as arguments), and the truncations of each. The
 * bytes stand in a heap block of exactly their size, so that AddressSanitizer sees a read behind
 * them. */
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    INPUT_MAX = 1 << 20,
    PREFIXES_MAX = 512, /* of a longer file: evenly spread */
};

static void run(const uint8_t *bytes, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy)
        abort();
    memcpy(copy, bytes, n);
    (void)LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static bool run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return false;
    }
    uint8_t *bytes = malloc(INPUT_MAX);
    if (!bytes)
        abort();
    size_t n = fread(bytes, 1, INPUT_MAX, f);
    bool ok = !ferror(f) && feof(f);
    if (fclose(f) != 0 || !ok) {
        (void)fprintf(stderr, "%s: can't be read, or too large\n", path);
        free(bytes);
        return false;
    }
    run(bytes, n);
    size_t step = n / PREFIXES_MAX + 1;
    for (size_t cut = 0; cut < n; cut += step)
        run(bytes, cut);
    free(bytes);
    return true;
}

/* The number of files, or -1. */
static int run_dir(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d) {
        perror(dir);
        return -1;
    }
    int count = 0;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread */
    for (const struct dirent *e; count >= 0 && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        char path[4096];
        int n = snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        if (n < 0 || (size_t)n >= sizeof(path) || !run_file(path))
            count = -1;
        else
            count++;
    }
    closedir(d);
    return count;
}

int main(int argc, char **argv)
{
    char own[4096];
    char *dirs[] = {own, NULL};
    char **dir = argc > 1 ? argv + 1 : dirs;
    const char *slash = strrchr(argv[0], '/');
    const char *name = slash ? slash + 1 : argv[0];
    const char *after = strstr(name, "fuzz_");
    int n = snprintf(own, sizeof(own), "%s/fuzz/corpus/%s", TEST_DATA, after ? after + 5 : name);
    if (n < 0 || (size_t)n >= sizeof(own))
        return 1;
    for (; *dir; dir++) {
        int count = run_dir(*dir);
        if (count < 0)
            return 1;
        if (count == 0) { /* a harness that runs nothing says nothing */
            (void)fprintf(stderr, "%s: no inputs\n", *dir);
            return 1;
        }
        printf("%s: %d inputs and their truncations\n", *dir, count);
    }
    return 0;
}
