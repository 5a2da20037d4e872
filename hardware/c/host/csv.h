/* Numbers of a file with comma-separated values, row by row. */
#ifndef NEUROJAX_CSV_H
#define NEUROJAX_CSV_H

#include <stdio.h>

typedef struct {
    const char *path;
    FILE *file;
    long line; /* of the row that was read last, counted from 1 */
} nj_csv_t;

/* 0, or -1 with a message on standard error. */
int nj_csv_open(nj_csv_t *csv, const char *path);
void nj_csv_close(nj_csv_t *csv);

/* The next row, which must have `count` numbers; empty lines are skipped.
 * 1: a row was read; 0: the file has ended; -1: an error, with a message on standard error. */
int nj_csv_row(nj_csv_t *csv, float row[], size_t count);

/* One number. 0, or -1 if the text is something else. */
int nj_csv_number(const char *text, float *number);

#endif
