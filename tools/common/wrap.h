/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_TOOL_WRAP_H
#define TCPX_TOOL_WRAP_H

#include <stdio.h>

#define TEXT_COLUMNS 79

/*
 * Prints a text in lines of at most TEXT_COLUMNS columns, broken at spaces:
 * the first indented by first blanks, those that follow by next. A word that
 * is longer than a line is not broken.
 */
void text_wrap(FILE *out, unsigned first, unsigned next, const char *text);

#endif
