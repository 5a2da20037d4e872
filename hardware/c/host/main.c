/* Runs the network of model.c on a computer: see `nj_usage` below.
 *
 * Values of an input or output are in C's order, channels last. A sample is one row of a file:
 * either one input that is shown in every time step ("duplicate"), or the inputs of all time steps,
 * one after another ("iterate"), as model.h says.
 */
#include "config.h"
#include "csv.h"
#include "metrics.h"
#include "model.h"
#if NJ_FEATUREMAPS
#include "dump.h"
#include "featuremaps.h"
#endif

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef MODEL_INPUT_TIMESTEPS
#define MODEL_INPUT_TIMESTEPS 1
#endif
#ifndef HOST_SINGLE
#define HOST_SINGLE 0 /* 1: the program `single`, whose arguments are the values of one sample */
#endif
#ifdef MODEL_INPUT_TIMESTEP_MODE_ITERATE
#define NJ_ITERATES 1
#else
#define NJ_ITERATES 0
#endif

#define NJ_INPUTS (sizeof(input_t) / sizeof(MODEL_INPUT_NUMBER_T))
#define NJ_OUTPUTS (sizeof(output_t) / sizeof(MODEL_OUTPUT_NUMBER_T))
#define NJ_INPUT_IS_INTEGER ((MODEL_INPUT_NUMBER_T)0.5 == 0)
#define NJ_OUTPUT_IS_INTEGER ((MODEL_OUTPUT_NUMBER_T)0.5 == 0)

static const char nj_usage[] =
    "usage: %s [options] testX.csv testY.csv   print metrics on standard error\n"
    "       %s [options] run testX.csv         print each sample's outputs: means over time\n"
    "       %s [options] steps testX.csv       print the model's own numbers in every time step\n"
    "       %s [options] single v1 v2 ...      print the outputs of one sample, line by line\n"
    "\n"
    "testX.csv has one sample a row: %lu values%s.\n"
    "testY.csv has its expected outputs: %lu values, 1 for the class and 0 elsewhere (acc), or\n"
    "the means over time (other metrics). Outputs of `single` are in the model's own numbers.\n"
    "\n"
    "options: --timesteps N       time steps of a sample (default: %d)\n"
    "         --qualia            sums over time and metrics as Qualia computes them\n"
#if NJ_FEATUREMAPS
    "         --featuremaps DIR   where feature maps go (default: featuremaps)\n"
#endif
    "         --help              print this\n";

typedef struct {
    size_t timesteps;
    int like_qualia;
    const char *featuremaps;
} nj_options_t;

/* Names here begin with nj_, as the model may be called anything else. */
static void nj_model(const input_t nj_input, output_t nj_output) {
    MODEL_NAME(nj_input, nj_output);
}

/* ---- numbers ---- */

/* A real number as the network's input: the nearest below or the nearest, and saturated. */
static MODEL_INPUT_NUMBER_T nj_to_input(float value) {
    if (!NJ_INPUT_IS_INTEGER) {
        return (MODEL_INPUT_NUMBER_T)value;
    }
    const float largest = ldexpf(1.0f, 8 * (int)sizeof(MODEL_INPUT_NUMBER_T) - 1);
    const float scaled = ldexpf(value, MODEL_INPUT_SCALE_FACTOR);
    float rounded = floorf(scaled);
    if (MODEL_INPUT_ROUND_MODE == ROUND_MODE_NEAREST && scaled - rounded >= 0.5f) {
        rounded += 1.0f;
    }
    if (rounded >= largest) {
        return (MODEL_INPUT_NUMBER_T)((INT64_C(1) << (8 * sizeof(MODEL_INPUT_NUMBER_T) - 1)) - 1);
    }
    return (MODEL_INPUT_NUMBER_T)(rounded < -largest ? -largest : rounded);
}

/* The low bits of a sum, as a number type of the model holds them. */
static int64_t nj_wrapped(int64_t sum) {
    const unsigned bits = 8 * (unsigned)sizeof(MODEL_OUTPUT_NUMBER_T);
    const uint64_t half = UINT64_C(1) << (bits - 1), low = (uint64_t)sum & (2 * half - 1);
    return low < half ? (int64_t)low : (int64_t)(low - half) - (int64_t)half;
}

/* Sums of the outputs over time. No sum of integers overflows here; Qualia's wrap. */
typedef struct {
    int64_t integers[NJ_OUTPUTS];
    double reals[NJ_OUTPUTS];
} nj_sums_t;

static void nj_add(nj_sums_t *sums, const output_t output, const nj_options_t *options) {
    for (size_t i = 0; i < NJ_OUTPUTS; i++) {
        if (NJ_OUTPUT_IS_INTEGER) {
            sums->integers[i] += (int64_t)output[i];
        } else {
            const double sum = sums->reals[i] + (double)output[i];
            sums->reals[i] = options->like_qualia ? (double)(float)sum : sum;
        }
    }
}

static int64_t nj_sum(const nj_sums_t *sums, size_t output, const nj_options_t *options) {
    const int64_t sum = sums->integers[output];
    return options->like_qualia ? nj_wrapped(sum) : sum;
}

/* ---- samples ---- */

static size_t nj_row_length(const nj_options_t *options) {
    return NJ_ITERATES ? NJ_INPUTS * options->timesteps : NJ_INPUTS;
}

static void nj_print_step(const output_t output) {
    for (size_t i = 0; i < NJ_OUTPUTS; i++) {
        printf("%s%.9g", i > 0 ? "," : "", (double)output[i]);
    }
    printf("\n");
}

/* One sample from the resting state: `row` holds one input, or one for each time step. */
static nj_sums_t nj_run_sample(const float row[], int iterates, int prints,
                               const nj_options_t *options) {
    static input_t input;
    static output_t output;
    nj_sums_t sums = {{0}, {0.0}};
    for (size_t t = 0; t < options->timesteps; t++) {
        const float *shown = row + (iterates ? t * NJ_INPUTS : 0);
        for (size_t i = 0; i < NJ_INPUTS; i++) {
            input[i] = nj_to_input(shown[i]);
        }
#if NJ_FEATUREMAPS
        static const int32_t shape[] = {NJ_INPUT_SHAPE};
        const int32_t bits = NJ_INPUT_IS_INTEGER ? 8 * (int32_t)sizeof input[0] : 0;
        nj_featuremaps_step(t);
        neurojax_dump(NJ_INPUT_NAME, "Input", bits, MODEL_INPUT_SCALE_FACTOR,
                      sizeof shape / sizeof shape[0], shape, input);
#endif
        nj_model(input, output);
        if (prints) {
            nj_print_step(output);
        }
        nj_add(&sums, output, options);
    }
    reset();
#if NJ_FEATUREMAPS
    nj_featuremaps_next_sample();
#endif
    return sums;
}

/* What metrics compare, and `run` prints: means over time, in units of the real network. */
static void nj_to_real(const nj_sums_t *sums, double real[], const nj_options_t *options) {
    const double steps = options->like_qualia ? 1.0 : (double)options->timesteps;
    for (size_t i = 0; i < NJ_OUTPUTS; i++) {
        const int64_t sum = nj_sum(sums, i, options);
        real[i] = NJ_OUTPUT_IS_INTEGER ? ldexp((double)sum, -MODEL_OUTPUT_SCALE_FACTOR) / steps
                                    : sums->reals[i] / steps;
    }
}

/* ---- commands ---- */

static float *nj_new_row(const nj_options_t *options) {
    float *row = malloc(nj_row_length(options) * sizeof *row);
    if (row == NULL) {
        fprintf(stderr, "no memory for a row of %lu values\n",
                (unsigned long)nj_row_length(options));
    }
    return row;
}

static int nj_command_single(int count, char *values[], const nj_options_t *options) {
    const int iterates = NJ_ITERATES && (size_t)count == nj_row_length(options);
    if ((size_t)count != NJ_INPUTS && !iterates) {
        fprintf(stderr, "single: %d values; the network's input has %lu\n", count,
                (unsigned long)NJ_INPUTS);
        return 1;
    }
    float *row = malloc((size_t)count * sizeof *row);
    if (row == NULL) {
        fprintf(stderr, "no memory for %d values\n", count);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        if (nj_csv_number(values[i], &row[i]) != 0) {
            fprintf(stderr, "single: value %d is '%s'; it must be a number\n", i + 1, values[i]);
            free(row);
            return 1;
        }
    }
    const nj_sums_t sums = nj_run_sample(row, iterates, 0, options);
    free(row);
    for (size_t i = 0; i < NJ_OUTPUTS; i++) {
        if (NJ_OUTPUT_IS_INTEGER) {
            const int64_t sum = nj_sum(&sums, i, options);
            printf("%lld\n", (long long)(sum / (int64_t)options->timesteps));
        } else {
            printf("%f\n", sums.reals[i] / (double)options->timesteps);
        }
    }
    return 0;
}

static int nj_command_run(const char *path, int every_step, const nj_options_t *options) {
    nj_csv_t csv;
    double real[NJ_OUTPUTS];
    int found = -1;
    if (nj_csv_open(&csv, path) != 0) {
        return 1;
    }
    float *row = nj_new_row(options);
    while (row != NULL && (found = nj_csv_row(&csv, row, nj_row_length(options))) == 1) {
        const nj_sums_t sums = nj_run_sample(row, NJ_ITERATES, every_step, options);
        nj_to_real(&sums, real, options);
        for (size_t i = 0; i < NJ_OUTPUTS && !every_step; i++) {
            printf("%.9g%s", real[i], i + 1 < NJ_OUTPUTS ? "," : "\n");
        }
    }
    nj_csv_close(&csv);
    const int failed = row == NULL || found != 0;
    free(row);
    return failed;
}

static int nj_command_evaluate(const char *path_x, const char *path_y,
                               const nj_options_t *options) {
    static nj_metrics_t metrics;
    static float expected[NJ_OUTPUTS];
    nj_csv_t x, y = {NULL, NULL, 0};
    double real[NJ_OUTPUTS];
    int in_x = -1, in_y = -1;
    if (nj_csv_open(&x, path_x) != 0) {
        return 1;
    }
    float *row = nj_new_row(options);
    if (row != NULL && nj_csv_open(&y, path_y) == 0) {
        for (;;) {
            in_x = nj_csv_row(&x, row, nj_row_length(options));
            in_y = nj_csv_row(&y, expected, NJ_OUTPUTS);
            if (in_x != 1 || in_y != 1) {
                break;
            }
            const nj_sums_t sums = nj_run_sample(row, NJ_ITERATES, 0, options);
            nj_to_real(&sums, real, options);
            nj_metrics_update(&metrics, real, expected, options->like_qualia);
        }
    }
    free(row);
    nj_csv_close(&x);
    nj_csv_close(&y);
    if (in_x < 0 || in_y < 0) {
        return 1;
    }
    if (in_x != in_y) {
        fprintf(stderr, "%s has %s samples than %s\n", path_x, in_x == 1 ? "more" : "fewer",
                path_y);
        return 1;
    }
    if (metrics.count == 0) {
        fprintf(stderr, "%s holds no sample\n", path_x);
        return 1;
    }
    nj_metrics_print(&metrics, options->like_qualia);
    return 0;
}

static void nj_print_usage(FILE *file, const char *program) {
    fprintf(file, nj_usage, program, program, program, program,
            (unsigned long)(NJ_ITERATES ? NJ_INPUTS * MODEL_INPUT_TIMESTEPS : NJ_INPUTS),
            NJ_ITERATES ? ", time step after time step" : "", (unsigned long)NJ_OUTPUTS,
            MODEL_INPUT_TIMESTEPS);
}

/* How many arguments the options in front take; 0 if one is wrong. Argument 0 is the program. */
static int nj_read_options(int count, char *arguments[], nj_options_t *options) {
    int i = 1;
    for (; i < count && strncmp(arguments[i], "--", 2) == 0; i++) {
        const char *value = i + 1 < count ? arguments[i + 1] : "";
        if (strcmp(arguments[i], "--qualia") == 0) {
            options->like_qualia = 1;
        } else if (strcmp(arguments[i], "--timesteps") == 0) {
            char *end;
            const long steps = strtol(value, &end, 10);
            if (end == value || *end != '\0' || steps < 1 || steps > INT_MAX) {
                fprintf(stderr, "--timesteps is '%s'; it must be an integer > 0\n", value);
                return 0;
            }
            options->timesteps = (size_t)steps;
            i++;
#if NJ_FEATUREMAPS
        } else if (strcmp(arguments[i], "--featuremaps") == 0 && *value != '\0') {
            options->featuremaps = value;
            i++;
#endif
        } else {
            fprintf(stderr, "unknown option, or one without its value: %s\n", arguments[i]);
            return 0;
        }
    }
    return i;
}

int main(int argc, char *argv[]) {
    nj_options_t options = {MODEL_INPUT_TIMESTEPS, 0, "featuremaps"};
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        nj_print_usage(stdout, argv[0]);
        return 0;
    }
    const int first = nj_read_options(argc, argv, &options), rest = argc - first;
    if (first == 0) {
        return 1;
    }
#if NJ_FEATUREMAPS
    nj_featuremaps_into(options.featuremaps);
#endif
    if (HOST_SINGLE) {
        return nj_command_single(rest, argv + first, &options);
    }
    if (rest >= 1 && strcmp(argv[first], "single") == 0) {
        return nj_command_single(rest - 1, argv + first + 1, &options);
    }
    if (rest == 2 && strcmp(argv[first], "run") == 0) {
        return nj_command_run(argv[first + 1], 0, &options);
    }
    if (rest == 2 && strcmp(argv[first], "steps") == 0) {
        return nj_command_run(argv[first + 1], 1, &options);
    }
    if (rest == 2) {
        return nj_command_evaluate(argv[first], argv[first + 1], &options);
    }
    if (rest > 2) {
        fprintf(stderr, "%d arguments; options go before the command\n\n", rest);
    }
    nj_print_usage(stderr, argv[0]);
    return 1;
}
