#include "csv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 64 }; /* characters of a number */

int nj_csv_open(nj_csv_t *csv, const char *path) {
    csv->path = path;
    csv->line = 0;
    csv->file = fopen(path, "r");
    if (csv->file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    const int first = getc(csv->file);
    if (first == 0xEF) { /* the mark of UTF-8 (EF BB BF), which spreadsheets write in front */
        getc(csv->file);
        getc(csv->file);
    } else if (first != EOF) {
        ungetc(first, csv->file);
    }
    return 0;
}

void nj_csv_close(nj_csv_t *csv) {
    if (csv->file != NULL) {
        fclose(csv->file);
        csv->file = NULL;
    }
}

int nj_csv_number(const char *text, float *number) {
    char *end;
    *number = strtof(text, &end);
    if (end == text || *number != *number) { /* not a number compares unequal to itself */
        return -1;
    }
    while (*end == ' ' || *end == '\t' || *end == '\r') {
        end++;
    }
    return *end == '\0' ? 0 : -1;
}

/* The text up to the next comma or the end of the line: what ended it (',', '\n' or EOF). */
static int nj_read_field(FILE *file, char text[LONGEST], size_t *length) {
    int c;
    *length = 0;
    while ((c = getc(file)) != ',' && c != '\n' && c != EOF) {
        if (*length < LONGEST - 1) {
            text[*length] = (char)c;
        }
        *length += 1;
    }
    text[*length < LONGEST - 1 ? *length : LONGEST - 1] = '\0';
    return c;
}

static int nj_is_blank(const char *text) { return text[strspn(text, " \t\r")] == '\0'; }

int nj_csv_row(nj_csv_t *csv, float row[], size_t count) {
    char text[LONGEST];
    size_t length, found = 0;
    int ended = ',';
    csv->line++;
    while (ended == ',') {
        ended = nj_read_field(csv->file, text, &length);
        if (ended == EOF && ferror(csv->file)) { /* such as a folder */
            fprintf(stderr, "%s: %s\n", csv->path, strerror(errno));
            return -1;
        }
        const int blank = length < LONGEST && nj_is_blank(text);
        if (found == 0 && blank && ended == EOF) {
            return 0;
        }
        if (found == 0 && blank && ended == '\n') { /* an empty line */
            csv->line++;
            ended = ',';
            continue;
        }
        if (length >= LONGEST || nj_csv_number(text, &row[found < count ? found : 0]) != 0) {
            fprintf(stderr, "%s:%ld: value %lu is '%s'; it must be a number\n", csv->path,
                    csv->line, (unsigned long)(found + 1), text);
            return -1;
        }
        found++;
    }
    if (found != count) {
        fprintf(stderr, "%s:%ld: %lu values; each row must have %lu\n", csv->path, csv->line,
                (unsigned long)found, (unsigned long)count);
        return -1;
    }
    return 1;
}
