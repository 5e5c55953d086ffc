/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other process of the tests: one agent with one region, told what to do
 * in lines on standard input. It calls NIXL only when told to, so between two
 * lines it never polls.
 *
 *   nixld [--gpu N] NAME LEN SEED [PARAMETER=VALUE...]
 *                               prints: ok ADDRESS METADATA
 *
 * --gpu: its region is memory of that pretend GPU.
 *
 *   load METADATA            -> ok
 *   tell AGENT TEXT          -> ok
 *   note MS                  -> ok FROM TEXT      ok - : none came
 *   echo N MS                -> ok                N times: a note, and back
 *   write AGENT ADDRESS LEN  -> ok                from its region's start
 *   want OFF LEN SEED OFF    -> ok                there should be that pattern
 *   check                    -> ok                all bytes of the region
 *   quit
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e2e/hex.h"
#include "side.h"
#include "support/pattern.h"
#include "support/scale.h"
#include "support/vram.h"

#define LINE_MAX_BYTES (64u * 1024)

static struct side side;
static struct region region;
static struct vram vram;
static uint8_t *base; /* of the region, as NIXL knows it */

static void answer_md(void)
{
	size_t len;
	void *md = side_md(&side, &len);
	char *hex = malloc(2 * len + 1);

	if (!hex)
		exit(1);
	hex_encode(md, len, hex);
	printf("ok %" PRIu64 " %s\n", (uint64_t)(uintptr_t)base, hex);
	free(hex);
	free(md);
}

static bool do_load(const char *args)
{
	char *md = malloc(LINE_MAX_BYTES);

	if (!md)
		return false;
	bool good = !side_load(&side, md, hex_decode(args, md, LINE_MAX_BYTES));

	free(md);
	if (good)
		printf("ok\n");
	return good;
}

static bool do_tell(const char *args)
{
	char name[SIDE_NAME_MAX], text[256];

	if (sscanf(args, "%255s %255s", name, text) != 2)
		return false;
	side_tell(&side, name, text, strlen(text));
	printf("ok\n");
	return true;
}

static bool do_note(const char *args)
{
	struct note *note = side_note(&side, atoi(args));

	if (note)
		printf("ok %s %.*s\n", note->from, (int)note->len_bytes,
		       (char *)note->data);
	else
		printf("ok -\n");
	side_note_free(note);
	return true;
}

static bool do_echo(const char *args)
{
	int n, timeout_ms;

	if (sscanf(args, "%d %d", &n, &timeout_ms) != 2)
		return false;
	while (n-- > 0) {
		struct note *note = side_note(&side, timeout_ms);

		if (!note)
			return false;
		side_tell(&side, note->from, note->data, note->len_bytes);
		side_note_free(note);
	}
	printf("ok\n");
	return true;
}

static bool do_write(const char *args)
{
	char name[SIDE_NAME_MAX];
	uint64_t addr;
	size_t len;

	if (sscanf(args, "%255s %" SCNu64 " %zu", name, &addr, &len) != 3)
		return false;
	void *req = side_one(&side, CAPI_WRITE, name, base, addr, len,
			     "written", 7);

	side_run(&side, req);
	side_release(&side, req);
	printf("ok\n");
	return true;
}

static bool do_want(const char *args)
{
	uint64_t off, len, seed, seed_off;

	if (sscanf(args, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &off,
		   &len, &seed, &seed_off) != 4)
		return false;
	region_want(&region, off, len, seed, seed_off);
	printf("ok\n");
	return true;
}

static bool do_check(const char *args)
{
	(void)args;
	if (!region_check(&region, side.name))
		return false;
	printf("ok\n");
	return true;
}

static const struct {
	const char *name;
	bool (*fn)(const char *args);
} commands[] = {
	{"load ", do_load},  {"tell ", do_tell},   {"note ", do_note},
	{"echo ", do_echo},  {"write ", do_write}, {"want ", do_want},
	{"check", do_check},
};

static bool obey(const char *line)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		size_t len = strlen(commands[i].name);

		if (!strncmp(line, commands[i].name, len))
			return commands[i].fn(line + len);
	}
	return false;
}

static void make_region(const char *gpu, size_t len, uint64_t seed)
{
	if (!gpu) {
		region_init(&region, len, seed);
		base = region.data;
		return;
	}
	side.mem = (struct side_mem){CAPI_VRAM, strtoul(gpu, NULL, 0)};
	vram_init(&vram, (uint32_t)side.mem.device, len);
	vram_region(&vram, &region, len, seed);
	base = vram.dev;
}

int main(int argc, char **argv)
{
	/* Nobody but who told it to polls: no progress thread of NIXL's. */
	const struct capi_config config = {.sync = CAPI_SYNC_NONE};
	char *line = malloc(LINE_MAX_BYTES);
	const char *gpu = NULL;

	if (argc > 2 && !strcmp(argv[1], "--gpu")) {
		gpu = argv[2];
		argc -= 2;
		argv += 2;
	}
	if (argc < 4 || !line)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	side_open_config(&side, argv[1], &config,
			 (const char *const *)(uintptr_t)(argv + 4));
	make_region(gpu, strtoull(argv[2], NULL, 0),
		    strtoull(argv[3], NULL, 0));
	side_register(&side, base, region.len_bytes);
	answer_md();
	while (fgets(line, LINE_MAX_BYTES, stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strcmp(line, "quit"))
			break;
		if (!obey(line))
			printf("fail\n");
	}
	side_close(&side);
	region_fini(&region);
	free(line);
	return 0;
}
