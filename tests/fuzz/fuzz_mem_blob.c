/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include "fuzz.h"
#include "fuzz_blob.h"
#include "wire/blob.h"

#define ENTRIES 256

static uint8_t buf[32 * ENTRIES], once[sizeof(buf)];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	size_t n = fuzz_blob(data, len_bytes, buf, sizeof(buf));
	struct mem_blob_entry entries[ENTRIES];
	uint8_t session[SESSION_ID_BYTES];
	size_t n_entries, n_again, n_once;

	if (mem_blob_decode(buf, n, session, entries, ENTRIES, &n_entries))
		return 0;
	MUST(n_entries <= ENTRIES);
	for (size_t i = 0; i < n_entries; i++)
		MUST(entries[i].mem && entries[i].len_bytes);
	MUST(mem_blob_encode(session, entries, n_entries, once, sizeof(once),
			     &n_once) == 0);
	MUST(n_once == n && memcmp(once, buf, n) == 0);
	if (n_entries > 0)
		MUST(mem_blob_decode(buf, n, session, entries, n_entries - 1,
				     &n_again) == TCPX_ENOSPC &&
		     n_again == n_entries);
	return 0;
}
