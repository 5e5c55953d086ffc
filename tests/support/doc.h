/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_DOC_H
#define TESTS_SUPPORT_DOC_H

/* Tables of docs/, so that a test holds the library to what is written. What
 * fails here ends the case. */

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#define DOC_CELLS 8

struct doc {
	FILE *file;
	char line[4096];
	char *cells[DOC_CELLS]; /* of this row, without spaces around */
	size_t n_cells;
};

/* The table at or behind the first line that begins so. */
void doc_open(struct doc *doc, const char *file, const char *begins);
/* Its next row, heads left out; false: there is none, and it is closed. */
bool doc_next(struct doc *doc);
/* The next word in backticks, and *at behind it; NULL: no more. */
char *doc_word(char **at);
/* The object has the keys of that table and no others, of these types. */
void doc_keys(const json_t *object, const char *file, const char *begins);

#endif
