/* SPDX-License-Identifier: Apache-2.0 */
/* What grew, and how it is shown. */
#include "proof.h"

#include "common/wrap.h"
#include "entry.h"

#include <stdio.h>
#include <string.h>

#define PACKETS "rx_devmem_pkts"

/* [{name, before, after}]; *grew: any of them. */
static json_t *compare(const json_t *before, const json_t *after, bool *grew)
{
	const json_t *old = json_object_get(before, "counters");
	json_t *list = json_array(), *value;
	json_int_t first, last;
	const char *name;

	*grew = false;
	json_object_foreach(json_object_get(after, "counters"), name, value)
	{
		first = json_integer_value(json_object_get(old, name));
		last = json_integer_value(value);
		*grew = *grew || last != first;
		json_array_append_new(list, json_pack("{ss sI sI}", "name",
						      name, "before", first,
						      "after", last));
	}
	return list;
}

void proof_compare(json_t *counted, const char *end, const json_t *before,
		   const json_t *after)
{
	const json_t *one;
	size_t i;

	json_array_foreach(after, i, one)
	{
		const char *ifname =
			json_string_value(json_object_get(one, "ifname"));
		const char *why =
			json_string_value(json_object_get(one, "why"));
		json_t *list;
		bool grew;

		if (!ifname)
			continue;
		list = compare(entry_of(before, "ifname", ifname), one, &grew);
		if (grew || json_is_true(json_object_get(one, "in_use")))
			json_array_append_new(
				counted, json_pack("{ss ss ss? sO}", "end", end,
						   "ifname", ifname, "why", why,
						   "counters", list));
		json_decref(list);
	}
}

/* ---- what it says ------------------------------------------------------ */

static json_int_t growth(const json_t *counter)
{
	return json_integer_value(json_object_get(counter, "after")) -
	       json_integer_value(json_object_get(counter, "before"));
}

json_t *proof_packets(const json_t *counted)
{
	const json_t *nic, *counter;
	json_int_t sum = 0;
	bool any = false;
	size_t i, k;

	json_array_foreach(counted, i, nic)
	{
		json_array_foreach(json_object_get(nic, "counters"), k, counter)
		{
			if (strcmp(PACKETS, json_string_value(json_object_get(
						    counter, "name"))))
				continue;
			any = true;
			sum += growth(counter);
		}
	}
	return any ? json_integer(sum) : json_null();
}

static void print_nic(FILE *out, const json_t *nic)
{
	const char *why = json_string_value(json_object_get(nic, "why"));
	const json_t *counter;
	size_t i;

	if (why) {
		fputs(why, out);
		return;
	}
	fputs(json_string_value(json_object_get(nic, "ifname")), out);
	json_array_foreach(json_object_get(nic, "counters"), i, counter)
		fprintf(out, "%s %s +%lld", i ? "," : "",
			json_string_value(json_object_get(counter, "name")),
			(long long)growth(counter));
}

static void print_end(const json_t *counted, const char *end)
{
	char text[1024] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");
	const json_t *nic;
	bool first = true;
	size_t i;

	if (!out)
		return;
	fprintf(out, "NIC counters %s: ", end);
	json_array_foreach(counted, i, nic)
	{
		if (strcmp(end, json_string_value(json_object_get(nic, "end"))))
			continue;
		fputs(first ? "" : "; ", out);
		first = false;
		print_nic(out, nic);
	}
	fclose(out);
	if (!first)
		text_wrap(stdout, 2, 4, text);
}

void proof_print(const json_t *counted)
{
	putchar('\n');
	print_end(counted, "here");
	print_end(counted, "there");
}
