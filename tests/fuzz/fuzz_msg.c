/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "any_msg.h"
#include "fuzz.h"

/* A stream of control messages: header, body, header, body, ... */

static uint8_t once[MSG_BODY_MAX], twice[MSG_BODY_MAX];

/* What was decoded encodes to something that decodes to the same. (Text may
 * have been cleaned on the way in, so the first encoding need not be the
 * input; all else is.) */
static void check_body(uint16_t type, const uint8_t *body, size_t len_bytes)
{
	union any_msg m, again;
	int n;

	if (any_msg_decode(type, body, len_bytes, &m))
		return;
	n = any_msg_encode(type, &m, once, sizeof(once));
	MUST(n >= 0 && (size_t)n == len_bytes);
	MUST(any_msg_decode(type, once, (size_t)n, &again) == 0);
	MUST(any_msg_encode(type, &again, twice, sizeof(twice)) == n);
	MUST(memcmp(once, twice, (size_t)n) == 0);
}

static void check_regions(uint16_t type, const uint8_t *body, size_t len_bytes)
{
	struct msg_region region;
	union any_msg m;
	uint8_t row[16];

	if (type != MSG_LIST || any_msg_decode(type, body, len_bytes, &m))
		return;
	for (uint32_t i = 0; i < m.list.n_regions; i++) {
		region = msg_list_region(&m.list.regions, i);
		msg_region_encode(&region, row);
		MUST(memcmp((const uint8_t *)m.list.regions.data + i * 16, row,
			    16) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	uint8_t header[MSG_HEADER_BYTES];
	struct msg_header h;

	while (len_bytes >= MSG_HEADER_BYTES && !msg_header_decode(data, &h)) {
		msg_header_encode(&h, header);
		MUST(memcmp(header, data, sizeof(header)) == 0);
		MUST(h.body_bytes <= MSG_BODY_MAX);
		data += MSG_HEADER_BYTES;
		len_bytes -= MSG_HEADER_BYTES;
		if (h.body_bytes > len_bytes)
			break;
		check_body(h.type, data, h.body_bytes);
		check_regions(h.type, data, h.body_bytes);
		data += h.body_bytes;
		len_bytes -= h.body_bytes;
	}
	return 0;
}
