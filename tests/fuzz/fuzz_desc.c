/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <tcpx/p2p.h>

#include "fuzz.h"
#include "wire/desc.h"

/* Descriptors and records one after the other, as they would stand in a
 * stream. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	uint8_t buf[CHUNK_DESC_BYTES];
	struct chunk_desc d;
	uint64_t taken;

	for (; len_bytes >= sizeof(buf); len_bytes -= sizeof(buf)) {
		if (chunk_desc_decode(data, &d) == 0) {
			MUST(d.len_bytes > 0);
			MUST(d.pos + d.len_bytes <= TCPX_XFER_MAX);
			chunk_desc_encode(&d, buf);
			MUST(memcmp(buf, data, sizeof(buf)) == 0);
			MUST(!chunk_is_taken(data));
		}
		if (chunk_taken_decode(data, &taken) == 0) {
			chunk_taken_encode(taken, buf);
			MUST(memcmp(buf, data, sizeof(buf)) == 0);
			MUST(chunk_is_taken(data));
		}
		data += sizeof(buf);
	}
	return 0;
}
