/* SPDX-License-Identifier: Apache-2.0 */
#include "perf.h"

#include "common/size.h"

#include <string.h>

/* What is tried unless a list says other values; what is allowed. */
static const struct {
	const char *name;
	uint64_t usual[SWEEP_VALUES_MAX];
	uint64_t min, max, step;
} axes[SWEEP_AXES] = {
	[SWEEP_CHUNK] = {"chunk",
			 {128 << 10, 256 << 10, 512 << 10, 1 << 20},
			 64 << 10,
			 4 << 20,
			 4096},
	[SWEEP_WINDOW] = {"window", {4, 16, 64}, 1, 1024, 1},
	[SWEEP_CHANNELS] = {"channels", {1, 2, 4, 8}, 1, 16, 1},
};

static void take_usual(int axis, struct perf_options *o)
{
	unsigned n = 0;

	while (n < SWEEP_VALUES_MAX && axes[axis].usual[n]) {
		o->sweep[axis].value[n] = axes[axis].usual[n];
		n++;
	}
	o->sweep[axis].n = n;
}

static bool take_list(int axis, const char *list, struct perf_options *o)
{
	char item[32];
	uint64_t value;
	unsigned n = 0;

	while (*list) {
		size_t len = strcspn(list, ",");

		if (n == SWEEP_VALUES_MAX || len >= sizeof(item))
			return false;
		memcpy(item, list, len);
		item[len] = '\0';
		if (size_parse(item, &value) || value < axes[axis].min ||
		    value > axes[axis].max || value % axes[axis].step)
			return false;
		o->sweep[axis].value[n++] = value;
		list += len;
		list += *list == ',';
	}
	o->sweep[axis].n = n;
	return n > 0;
}

bool sweep_parse(const char *text, struct perf_options *o)
{
	size_t len = strcspn(text, "=");
	bool all = !strcmp(text, "all");

	for (int i = 0; i < SWEEP_AXES; i++) {
		if (all)
			take_usual(i, o);
		if (strlen(axes[i].name) != len ||
		    strncmp(axes[i].name, text, len))
			continue;
		if (text[len])
			return take_list(i, text + len + 1, o);
		take_usual(i, o);
		return true;
	}
	return all;
}
