/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <string.h>

#include "check.h"
#include "fuzz.h"

/*
 * Runs a fuzz target over a folder of inputs: each as it is, each shortened
 * to every length, and each with bytes changed at random (TEST_SEED repeats a
 * run). A test for compilers without libFuzzer. Usage: x_replay FOLDER
 */

#define INPUT_MAX (1 << 20)
#define PREFIXES_MAX 4096
#define MUTANTS 500

static const char *folder;
static uint8_t input[INPUT_MAX];

/* In memory of exactly this length, so that a sanitizer sees the end. */
static void run_copy(const uint8_t *data, size_t len_bytes)
{
	uint8_t *copy = malloc(len_bytes ? len_bytes : 1);

	CHECK(copy);
	if (len_bytes)
		memcpy(copy, data, len_bytes);
	LLVMFuzzerTestOneInput(copy, len_bytes);
	free(copy);
}

static void run_mutants(size_t len_bytes, uint64_t *state)
{
	uint8_t before[4];
	size_t at, n;

	for (int i = 0; i < MUTANTS && len_bytes > 0; i++) {
		at = check_rand(state) % len_bytes;
		n = 1 + check_rand(state) % sizeof(before);
		if (n > len_bytes - at)
			n = len_bytes - at;
		memcpy(before, input + at, n);
		for (size_t j = 0; j < n; j++)
			input[at + j] = (uint8_t)check_rand(state);
		run_copy(input, len_bytes);
		memcpy(input + at, before, n);
	}
}

static size_t load(const char *name)
{
	char path[4096];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "rb");
	CHECK(f);
	n = fread(input, 1, sizeof(input), f);
	CHECK(feof(f) && n < sizeof(input));
	fclose(f);
	return n;
}

static void replay(void)
{
	uint64_t state = check_seed();
	struct dirent *entry;
	size_t n, n_files = 0;
	DIR *dir = opendir(folder);

	CHECK(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		fprintf(stderr, "%s\n", entry->d_name);
		n = load(entry->d_name);
		run_copy(input, n);
		for (size_t i = 0; i < n && i < PREFIXES_MAX; i++)
			run_copy(input, i);
		run_mutants(n, &state);
		n_files++;
	}
	closedir(dir);
	CHECK(n_files > 0);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {{"replay", replay, 120}};

	if (argc != 2) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	folder = argv[1];
	return CHECK_RUN(cases, 1, argv);
}
