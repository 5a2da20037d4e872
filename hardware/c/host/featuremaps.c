#define _POSIX_C_SOURCE 200112L /* mkdir */

#include "featuremaps.h"

#include "dump.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <direct.h>
#define make_directory(path) _mkdir(path)
#else
#include <sys/stat.h>
#include <sys/types.h>
#define make_directory(path) mkdir(path, 0777)
#endif

static const char *directory = "featuremaps";
static size_t sample, step;

void nj_featuremaps_into(const char *path) { directory = path; }

void nj_featuremaps_step(size_t number) { step = number; }

void nj_featuremaps_next_sample(void) { sample++; }

static void nj_stop(const char *path) {
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(1);
}

/* A layer's name as that of a file: what might mean something in a path becomes %2F and so on. */
static void nj_file_name(char name[FILENAME_MAX], const char *layer) {
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (; *layer != '\0' && n + 4 < FILENAME_MAX; layer++) {
        const unsigned char c = (unsigned char)*layer;
        if (c < ' ' || strchr("/\\:*?\"<>|%", c) != NULL) {
            name[n++] = '%';
            name[n++] = digits[c >> 4];
            name[n++] = digits[c & 15];
        } else {
            name[n++] = (char)c;
        }
    }
    name[n] = '\0';
}

/* The file of a layer, with the directories above it. */
static FILE *nj_open_file(const char *layer) {
    char name[FILENAME_MAX], path[2 * FILENAME_MAX];
    nj_file_name(name, layer);
    const int length = snprintf(path, sizeof path, "%s/%lu/%lu/%s.json", directory,
                                (unsigned long)sample, (unsigned long)step, name);
    if (length < 0 || (size_t)length >= sizeof path) {
        errno = ENAMETOOLONG;
        nj_stop(directory);
    }
    for (char *p = path + 1; *p != '\0'; p++) {
        if (*p == '/') {
            *p = '\0';
            if (make_directory(path) != 0 && errno != EEXIST) {
                nj_stop(path);
            }
            *p = '/';
        }
    }
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        nj_stop(path);
    }
    return file;
}

static void nj_write_text(FILE *file, const char *text) {
    fputc('"', file);
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < ' ') {
            fprintf(file, "\\u%04x", c);
            continue;
        }
        if (c == '"' || c == '\\') {
            fputc('\\', file);
        }
        fputc(c, file);
    }
    fputc('"', file);
}

static void nj_write_value(FILE *file, const void *values, size_t i, int32_t bits) {
    switch (bits) {
    case 8:
        fprintf(file, "%ld", (long)((const int8_t *)values)[i]);
        break;
    case 16:
        fprintf(file, "%ld", (long)((const int16_t *)values)[i]);
        break;
    case 32:
        fprintf(file, "%ld", (long)((const int32_t *)values)[i]);
        break;
    default:
        fprintf(file, "%.9g", (double)((const float *)values)[i]);
    }
}

/* Nested lists: a value of the last axis opens and closes as many lists as begin and end there. */
static void nj_write_values(FILE *file, const void *values, int32_t bits, int32_t axes,
                         const int32_t *shape) {
    size_t count = 1;
    for (int32_t axis = 0; axis < axes; axis++) {
        count *= (size_t)shape[axis];
    }
    for (size_t i = 0; i < count; i++) {
        size_t inner = 1;
        int begins = 0, ends = 0;
        for (int32_t axis = axes - 1; axis >= 0; axis--) {
            inner *= (size_t)shape[axis];
            begins += i % inner == 0;
            ends += (i + 1) % inner == 0;
        }
        if (i > 0) {
            fputs(begins > 0 ? ",\n" : ", ", file);
        }
        while (begins-- > 0) {
            fputc('[', file);
        }
        nj_write_value(file, values, i, bits);
        while (ends-- > 0) {
            fputc(']', file);
        }
    }
}

void neurojax_dump(const char *layer, const char *type, int32_t bits, int32_t scale_factor,
                   int32_t axes, const int32_t *shape, const void *values) {
    FILE *file = nj_open_file(layer);
    fputs("{\n    \"name\": ", file);
    nj_write_text(file, layer);
    fputs(",\n    \"type\": ", file);
    nj_write_text(file, type);
    fputs(",\n    \"shape\": [", file);
    for (int32_t axis = 0; axis < axes; axis++) {
        fprintf(file, "%s%ld", axis > 0 ? ", " : "", (long)shape[axis]);
    }
    fprintf(file, "],\n    \"dtype\": \"%s%ld\",\n", bits > 0 ? "int" : "float",
            bits > 0 ? (long)bits : 32L);
    fprintf(file, "    \"scale_factor\": %ld,\n    \"data\":\n", (long)scale_factor);
    nj_write_values(file, values, bits, axes, shape);
    fputs("\n}\n", file);
    if (fclose(file) != 0) {
        nj_stop(directory);
    }
}
