/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "fuzz.h"
#include "segs_model.h"

/* u16 count, u16 regions, then tokens. */

#define SEGS_MAX 65535

static struct wire_seg got[SEGS_MAX], again[SEGS_MAX];
static uint8_t part[64 * SEGS_MAX];

static bool same(const struct wire_seg *a, const struct wire_seg *b, size_t n)
{
	return memcmp(a, b, n * sizeof(*a)) == 0; /* it has no padding */
}

/* Cut into parts of part_bytes, put together again. */
static void check_parts(size_t n, size_t part_bytes, uint32_t n_regions)
{
	struct wire_writer w;
	struct wire_reader r;
	size_t count;

	for (size_t i = 0; i < n; i += count) {
		wire_writer_init(&w, part, part_bytes);
		count = segs_encode(&w, &got[i], n - i);
		MUST(count > 0 && !w.failed && w.at <= part + part_bytes);
		wire_reader_init(&r, part, (size_t)(w.at - part));
		MUST(segs_decode(&r, again, count, n_regions) == 0);
		MUST(same(again, &got[i], count));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	struct wire_reader r, model;
	size_t n;
	uint32_t n_regions;
	bool good;

	wire_reader_init(&r, data, len_bytes);
	n = wire_read_u16(&r);
	n_regions = wire_read_u16(&r);
	if (r.failed)
		return 0;
	model = r;
	good = segs_decode(&r, got, n, n_regions) == 0;
	MUST(good == segs_model_decode(model.at, wire_reader_left(&model),
				       again, n, n_regions));
	if (!good)
		return 0;
	MUST(same(got, again, n));
	check_parts(n, sizeof(part), n_regions);
	check_parts(n, 64, n_regions);
	return 0;
}
