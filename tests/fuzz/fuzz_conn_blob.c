/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include "fuzz.h"
#include "fuzz_blob.h"
#include "wire/blob.h"

static uint8_t buf[TCPX_BLOB_MAX + 64], once[TCPX_BLOB_MAX],
	twice[TCPX_BLOB_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	size_t n = fuzz_blob(data, len_bytes, buf, sizeof(buf));
	struct conn_blob blob = {0}, again = {0};
	size_t n_once = 0, n_twice = 0;

	if (conn_blob_decode(buf, n, &blob))
		return 0;
	MUST(blob.n_rails <= BLOB_RAILS_MAX);
	MUST(memchr(blob.name, '\0', sizeof(blob.name)));
	MUST(conn_blob_encode(&blob, once, sizeof(once), &n_once) == 0);
	MUST(n_once == n);
	MUST(conn_blob_decode(once, n_once, &again) == 0);
	MUST(conn_blob_encode(&again, twice, sizeof(twice), &n_twice) == 0);
	MUST(n_twice == n_once && memcmp(once, twice, n_once) == 0);
	/* Not one byte less will do. */
	MUST(conn_blob_encode(&blob, twice, n - 1, &n_twice) == TCPX_ENOSPC);
	MUST(n_twice == n);
	return 0;
}
