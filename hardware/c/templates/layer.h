/* @about@ */
#ifndef NEUROJAX_@NAME@_H
#define NEUROJAX_@NAME@_H

#include <stdint.h>

/* @output_about@ */
typedef @number_t@ @name@_output_type[@values@];

#endif
