/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "rules.h"

#define MAX_FAULTS 16
#define WORD_BYTES 24

struct fault {
	char name[WORD_BYTES];
	char call[WORD_BYTES]; /* of error, exit, crash, hang, scribble; else empty */
	int64_t a, b; /* -1: not said */
	bool onwards; /* "5+": the fifth and all after it */
};

static const char *const calls[] = {
	"init",		  "devices",	"get_properties", "listen",
	"connect",	  "accept",	"reg_mr",	  "dereg_mr",
	"isend",	  "irecv",	"iflush",	  "test",
	"close_send",	  "close_recv", "close_listen",	  "get_device_mr",
	"irecv_consumed",
};
#define N_CALLS (sizeof(calls) / sizeof(*calls))

static const char *const kinds[] = {
	"error",	"exit",		 "crash",	"hang",
	"data_dies",	"ctrl_closes",	 "accept_slow", "accept_never",
	"connect_slow", "connect_never", "pool_empty",	"oversize",
	"junk",		"count",	 "short",	"exit_bytes",
	"scribble",
};
#define N_KINDS (sizeof(kinds) / sizeof(*kinds))

static struct fault faults[MAX_FAULTS];
static size_t n_faults;
static atomic_uint n_calls[N_CALLS];
static _Atomic uint64_t n_bytes;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int find(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i], name) == 0)
			return (int)i;
	}
	return -1;
}

/* A script with a mistake would be a test that proves nothing. */
static _Noreturn void misread(const char *item)
{
	fprintf(stderr, "double: no such fault: \"%s\"\n", item);
	exit(1);
}

static void parse_number(struct fault *fault, const char *word,
			 const char *item)
{
	char *end;
	int64_t value = strtoll(word, &end, 0);

	if (end == word || (*end && strcmp(end, "+") != 0))
		misread(item);
	if (*end)
		fault->onwards = true;
	if (fault->a < 0)
		fault->a = value;
	else
		fault->b = value;
}

static void parse_item(const char *item)
{
	struct fault *fault = &faults[n_faults];
	char copy[128], *word, *rest = copy;

	snprintf(copy, sizeof(copy), "%s", item);
	*fault = (struct fault){.a = -1, .b = -1};
	while ((word = strsep(&rest, " ")) != NULL) {
		if (!*word)
			continue;
		if (!fault->name[0]) {
			if (find(kinds, N_KINDS, word) < 0)
				misread(item);
			snprintf(fault->name, WORD_BYTES, "%s", word);
		} else if (find(calls, N_CALLS, word) >= 0) {
			snprintf(fault->call, WORD_BYTES, "%s", word);
		} else {
			parse_number(fault, word, item);
		}
	}
	if (fault->name[0])
		n_faults++;
}

static void parse(void)
{
	const char *text = conf_get()->faults;
	char *copy, *item, *rest;

	if (!text)
		return;
	copy = rest = strdup(text);
	while (copy && n_faults < MAX_FAULTS &&
	       (item = strsep(&rest, ";")) != NULL)
		parse_item(item);
	free(copy);
}

fault_fn *_Atomic fault_scribble;

/* The thread sanitizer's, where it is there. */
__attribute__((weak)) void AnnotateIgnoreWritesBegin(const char *file,
						     int line);

/* The kernel gives the pages of a process that ends to others at once; who
 * shares them learns of it later. A race, for that is what it is about: it must
 * not end before all is written. */
static _Noreturn void scribble(void)
{
	fault_fn *fn = atomic_load(&fault_scribble);

	if (AnnotateIgnoreWritesBegin)
		AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
	if (fn)
		fn();
	usleep(20000);
	rules_exit("CUDA call failed");
}

/* At its n-th call. Returns the result of the call, 0 to go on. */
static int strike(const struct fault *fault)
{
	if (strcmp(fault->name, "error") == 0)
		return fault->b < 0 ? NETPLUGIN_ESYSTEM : (int)fault->b;
	if (strcmp(fault->name, "exit") == 0)
		rules_exit("CUDA call failed");
	if (strcmp(fault->name, "crash") == 0)
		rules_crash();
	if (strcmp(fault->name, "scribble") == 0)
		scribble();
	if (strcmp(fault->name, "hang") == 0) {
		for (;;)
			pause();
	}
	return 0;
}

int fault_call(const char *name)
{
	int call = find(calls, N_CALLS, name);
	int64_t nth;

	pthread_once(&once, parse);
	if (n_faults == 0 || call < 0)
		return 0;
	nth = atomic_fetch_add(&n_calls[call], 1) + 1;
	for (size_t i = 0; i < n_faults; i++) {
		const struct fault *f = &faults[i];

		if (strcmp(f->call, name) == 0 &&
		    (f->a == nth || (f->onwards && nth > f->a)))
			return strike(f);
	}
	return 0;
}

bool fault_wanted(const char *name, int comm, int64_t *value)
{
	pthread_once(&once, parse);
	for (size_t i = 0; i < n_faults; i++) {
		if (strcmp(faults[i].name, name) == 0 &&
		    (faults[i].b < 0 || comm < 0 || faults[i].b == comm)) {
			*value = faults[i].a;
			return true;
		}
	}
	return false;
}

bool fault_receive(const char *name, uint64_t nth, int64_t *extra)
{
	pthread_once(&once, parse);
	for (size_t i = 0; i < n_faults; i++) {
		const struct fault *f = &faults[i];

		if (strcmp(f->name, name) == 0 &&
		    (f->a == (int64_t)nth ||
		     (f->onwards && (int64_t)nth > f->a))) {
			*extra = f->b;
			return true;
		}
	}
	return false;
}

void fault_bytes(uint64_t len_bytes)
{
	uint64_t before = atomic_fetch_add(&n_bytes, len_bytes);
	int64_t limit;

	if (fault_wanted("exit_bytes", -1, &limit) && limit >= 0 &&
	    before + len_bytes >= (uint64_t)limit)
		rules_exit("rx no cmsg");
}
