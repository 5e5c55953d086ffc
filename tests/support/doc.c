/* SPDX-License-Identifier: Apache-2.0 */
#include "support/doc.h"

#include <string.h>

#include "check.h"

void doc_open(struct doc *doc, const char *file, const char *begins)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", TEST_DOCS, file);
	doc->file = fopen(path, "r");
	if (!doc->file)
		check_fail(CHECK_AT, "cannot read %s", path);
	while (fgets(doc->line, sizeof(doc->line), doc->file))
		if (!strncmp(doc->line, begins, strlen(begins)))
			break;
	if (feof(doc->file))
		check_fail(CHECK_AT, "no line \"%s\" in %s", begins, path);
	while (strncmp(doc->line, "| --- ", 6))
		CHECK(fgets(doc->line, sizeof(doc->line), doc->file));
}

static char *trimmed(char *cell)
{
	size_t len;

	cell += strspn(cell, " ");
	len = strlen(cell);
	while (len && cell[len - 1] == ' ')
		cell[--len] = '\0';
	return cell;
}

bool doc_next(struct doc *doc)
{
	char *rest = doc->line + 1, *cell;

	if (!fgets(doc->line, sizeof(doc->line), doc->file) ||
	    doc->line[0] != '|') {
		fclose(doc->file);
		doc->file = NULL;
		return false;
	}
	doc->n_cells = 0;
	doc->line[strcspn(doc->line, "\n")] = '\0';
	while ((cell = strsep(&rest, "|")) && doc->n_cells < DOC_CELLS)
		doc->cells[doc->n_cells++] = trimmed(cell);
	return true;
}

char *doc_word(char **at)
{
	char *begin = strchr(*at, '`');
	char *end = begin ? strchr(begin + 1, '`') : NULL;

	if (!end)
		return NULL;
	*end = '\0';
	*at = end + 1;
	return begin + 1;
}

static bool is_type(const json_t *value, const char *type)
{
	static const char *const names[] = {"object",  "array", "string",
					    "integer", "real",	"boolean",
					    "boolean", "null"};
	/* "string or null", "integer, now" */
	const char *other = strstr(type, " or ");
	const char *is = names[json_typeof(value)];

	return !strncmp(type, is, strlen(is)) ||
	       (other && !strncmp(other + 4, is, strlen(is)));
}

void doc_keys(const json_t *object, const char *file, const char *begins)
{
	struct doc doc;
	size_t n = 0;
	char *key;

	CHECK(json_is_object(object));
	doc_open(&doc, file, begins);
	while (doc_next(&doc)) {
		char *at = doc.cells[0];

		while ((key = doc_word(&at))) {
			const json_t *value = json_object_get(object, key);

			n++;
			if (!value)
				check_fail(CHECK_AT, "%s: no key %s", begins,
					   key);
			if (!is_type(value, doc.cells[1]))
				check_fail(CHECK_AT, "%s is not of type %s",
					   key, doc.cells[1]);
		}
	}
	if (n != json_object_size(object))
		check_fail(CHECK_AT, "%s %s: %zu keys, in fact %zu", file,
			   begins, n, json_object_size(object));
}
