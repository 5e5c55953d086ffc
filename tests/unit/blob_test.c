/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include "wire/blob.h"

#include <xxhash.h>

#include "check.h"
#include "fuzz/samples.h"

static uint8_t buf[TCPX_BLOB_MAX + 8];

static size_t make(const struct conn_blob *blob)
{
	size_t n;

	CHECK_STATUS(conn_blob_encode(blob, buf, TCPX_BLOB_MAX, &n), 0);
	return n;
}

/* After a change, so that something besides the check is put to the test. */
static void make_check_right(uint8_t *blob, size_t len_bytes)
{
	uint32_t check = XXH32(blob, len_bytes - 4, 0);

	for (int i = 0; i < 4; i++)
		blob[len_bytes - 4 + i] = (uint8_t)(check >> 8 * i);
}

static void conn_round_trip(void)
{
	const struct conn_blob *b = &sample_conn_blob;
	struct conn_blob got;
	size_t n = make(b);

	CHECK_MEM(buf, "TXCB\1\0\0\0", 8);
	CHECK_STATUS(conn_blob_decode(buf, n, &got), 0);
	CHECK_MEM(got.session, b->session, SESSION_ID_BYTES);
	CHECK_MEM(got.secret, b->secret, SECRET_BYTES);
	CHECK_STR(got.name, b->name);
	CHECK(addr_equal(&got.ctrl, &b->ctrl));
	CHECK_EQ(got.n_rails, b->n_rails);
	for (uint32_t i = 0; i < b->n_rails; i++) {
		CHECK_STR(got.rails[i].ifname, b->rails[i].ifname);
		CHECK(addr_equal(&got.rails[i].addr, &b->rails[i].addr));
		CHECK_EQ(got.rails[i].speed_mbps, b->rails[i].speed_mbps);
	}
}

static void the_largest_fits(void)
{
	struct conn_blob b = sample_conn_blob, got;
	size_t n;

	memset(b.name, 'n', sizeof(b.name) - 1);
	b.n_rails = BLOB_RAILS_MAX;
	for (uint32_t i = 0; i < BLOB_RAILS_MAX; i++) {
		b.rails[i] = sample_conn_blob.rails[1];
		memset(b.rails[i].ifname, 'i', sizeof(b.rails[i].ifname) - 1);
	}
	n = make(&b);
	CHECK(n <= TCPX_BLOB_MAX);
	CHECK_STATUS(conn_blob_decode(buf, n, &got), 0);
	CHECK_EQ(got.n_rails, BLOB_RAILS_MAX);
	CHECK_STR(got.rails[31].ifname, "iiiiiiiiiiiiiii");
	CHECK_STR(got.name, b.name);
	b.n_rails++;
	CHECK_STATUS(conn_blob_encode(&b, buf, sizeof(buf), &n), TCPX_EINVAL);
}

static void bare(void)
{
	struct conn_blob b = {.name = ""}, got = sample_conn_blob;
	size_t n = make(&b);

	CHECK_STATUS(conn_blob_decode(buf, n, &got), 0);
	CHECK_EQ(got.n_rails, 0);
	CHECK_EQ(got.ctrl.sa.sa_family, AF_UNSPEC);
	CHECK_STR(got.name, "");
	b.n_rails = 1; /* without an address */
	CHECK_STATUS(conn_blob_encode(&b, buf, sizeof(buf), &n), TCPX_EINVAL);
}

static void says_how_much_it_needs(void)
{
	size_t n = make(&sample_conn_blob), need = 0;
	uint8_t small[8] = {0};

	CHECK_STATUS(conn_blob_encode(&sample_conn_blob, NULL, 0, &need),
		     TCPX_ENOSPC);
	CHECK_EQ(need, n);
	CHECK_STATUS(conn_blob_encode(&sample_conn_blob, small, 8, &need),
		     TCPX_ENOSPC);
	CHECK_EQ(small[0], 0);
	CHECK_STATUS(conn_blob_encode(&sample_conn_blob, buf, n, &need), 0);
}

static void damaged(void)
{
	struct conn_blob got;
	size_t n = make(&sample_conn_blob);

	for (size_t bit = 0; bit < n * 8; bit++) {
		buf[bit / 8] ^= 1 << bit % 8;
		CHECK_STATUS(conn_blob_decode(buf, n, &got), TCPX_EINVAL);
		buf[bit / 8] ^= 1 << bit % 8;
	}
	for (size_t cut = 0; cut < n; cut++)
		CHECK_STATUS(conn_blob_decode(buf, cut, &got), TCPX_EINVAL);
	CHECK_STATUS(conn_blob_decode(buf, n + 1, &got), TCPX_EINVAL);
	CHECK_STATUS(conn_blob_decode(NULL, 0, &got), TCPX_EINVAL);
	CHECK_STATUS(conn_blob_decode(buf, n, &got), 0);
}

/* The same with a check that is right: lengths inside that lie. */
static void truncated_and_checked(void)
{
	struct conn_blob got;
	size_t n;

	n = make(&sample_conn_blob);
	for (size_t cut = 12; cut < n; cut++) {
		make(&sample_conn_blob);
		make_check_right(buf, cut);
		CHECK_STATUS(conn_blob_decode(buf, cut, &got), TCPX_EINVAL);
	}
	make(&sample_conn_blob);
	make_check_right(buf, n + 1);
	CHECK_STATUS(conn_blob_decode(buf, n + 1, &got), TCPX_EINVAL);
}

static void versions(void)
{
	struct conn_blob got;
	size_t n = make(&sample_conn_blob);

	buf[4] = 2;
	make_check_right(buf, n);
	CHECK_STATUS(conn_blob_decode(buf, n, &got), TCPX_EVERSION);
	buf[4] = 1;
	buf[6] = 1; /* reserved */
	make_check_right(buf, n);
	CHECK_STATUS(conn_blob_decode(buf, n, &got), TCPX_EINVAL);
	buf[6] = 0;
	buf[0] ^= 1;
	make_check_right(buf, n);
	CHECK_STATUS(conn_blob_decode(buf, n, &got), TCPX_EINVAL);
}

static void one_is_not_the_other(void)
{
	struct mem_blob_entry entries[3];
	uint8_t session[SESSION_ID_BYTES];
	struct conn_blob got;
	size_t n = make(&sample_conn_blob), n_entries;

	CHECK_STATUS(mem_blob_decode(buf, n, session, entries, 3, &n_entries),
		     TCPX_EINVAL);
	CHECK_STATUS(mem_blob_encode(sample_conn_blob.session,
				     sample_mem_entries, 3, buf, sizeof(buf),
				     &n),
		     0);
	CHECK_STATUS(conn_blob_decode(buf, n, &got), TCPX_EINVAL);
}

/* ---- rails ------------------------------------------------------------ */

static void rails(void)
{
	struct wire_rail got[BLOB_RAILS_MAX];
	uint32_t n_rails;
	size_t n;

	CHECK_STATUS(rails_encode(sample_conn_blob.rails, 2, buf, sizeof(buf),
				  &n),
		     0);
	CHECK_STATUS(rails_decode(buf, n, got, &n_rails), 0);
	CHECK_EQ(n_rails, 2);
	CHECK_STR(got[1].ifname, "eth2");
	CHECK(addr_equal(&got[1].addr, &sample_conn_blob.rails[1].addr));
	for (size_t cut = 1; cut < n; cut++)
		CHECK_STATUS(rails_decode(buf, cut, got, &n_rails),
			     TCPX_EPROTO);
	CHECK_STATUS(rails_decode(buf, n + 1, got, &n_rails), TCPX_EPROTO);
	buf[0] = BLOB_RAILS_MAX + 1;
	CHECK_STATUS(rails_decode(buf, n, got, &n_rails), TCPX_EPROTO);
	CHECK_STATUS(rails_decode(NULL, 0, got, &n_rails), 0);
	CHECK_EQ(n_rails, 0);
	CHECK_STATUS(rails_decode("\0", 1, got, &n_rails), 0);
	CHECK_EQ(n_rails, 0);
	/* a family there is not; a rail without an address */
	CHECK_STATUS(rails_decode("\1\0\5\0\0\0\0\0\0\0\0\0\0", 13, got,
				  &n_rails),
		     TCPX_EPROTO);
	CHECK_STATUS(rails_decode("\1\0\0\0\0\0\0", 7, got, &n_rails),
		     TCPX_EPROTO);
}

static void more_rails_than_allowed(void)
{
	struct wire_rail got[BLOB_RAILS_MAX];
	uint32_t n_rails;
	uint8_t *at = buf;

	/* a rail without a name: 0.0.0.0:0, speed 0 */
	*at++ = BLOB_RAILS_MAX + 1;
	for (int i = 0; i <= BLOB_RAILS_MAX; i++) {
		memcpy(at, "\0\4\0\0\0\0\0\0\0\0\0\0", 12);
		at += 12;
	}
	CHECK_STATUS(rails_decode(buf, (size_t)(at - buf), got, &n_rails),
		     TCPX_EPROTO);
	buf[0]--;
	CHECK_STATUS(rails_decode(buf, (size_t)(at - buf) - 12, got, &n_rails),
		     0);
	CHECK_EQ(n_rails, BLOB_RAILS_MAX);
}

/* ---- memory ----------------------------------------------------------- */

static size_t make_mem(const struct mem_blob_entry *entries, size_t n_entries)
{
	size_t n;

	CHECK_STATUS(mem_blob_encode(sample_conn_blob.session, entries,
				     n_entries, buf, sizeof(buf), &n),
		     0);
	return n;
}

static int decode_mem(size_t n)
{
	struct mem_blob_entry entries[3];
	uint8_t session[SESSION_ID_BYTES];
	size_t n_entries;

	return mem_blob_decode(buf, n, session, entries, 3, &n_entries);
}

static void mem_round_trip(void)
{
	struct mem_blob_entry got[3];
	uint8_t session[SESSION_ID_BYTES];
	size_t n = make_mem(sample_mem_entries, 3), n_entries;

	CHECK_MEM(buf, "TXMB\1\0\0\0", 8);
	CHECK_STATUS(mem_blob_decode(buf, n, session, got, 3, &n_entries), 0);
	CHECK_EQ(n_entries, 3);
	CHECK_MEM(session, sample_conn_blob.session, sizeof(session));
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(got[i].mem, sample_mem_entries[i].mem);
		CHECK_EQ(got[i].key, sample_mem_entries[i].key);
		CHECK_EQ(got[i].len_bytes, sample_mem_entries[i].len_bytes);
		CHECK_EQ(got[i].access, sample_mem_entries[i].access);
		CHECK_EQ(got[i].device, sample_mem_entries[i].device);
	}
}

static void mem_says_how_many(void)
{
	struct mem_blob_entry got[3] = {{.mem = 77}};
	uint8_t session[SESSION_ID_BYTES];
	size_t n = make_mem(sample_mem_entries, 3), n_entries = 0;

	CHECK_STATUS(mem_blob_decode(buf, n, session, got, 2, &n_entries),
		     TCPX_ENOSPC);
	CHECK_EQ(n_entries, 3);
	CHECK_STATUS(mem_blob_decode(buf, n, session, NULL, 0, &n_entries),
		     TCPX_ENOSPC);
	CHECK_EQ(n_entries, 3);
	CHECK_STATUS(mem_blob_encode(sample_conn_blob.session,
				     sample_mem_entries, 3, NULL, 0,
				     &n_entries),
		     TCPX_ENOSPC);
	CHECK_EQ(n_entries, n);
	n = make_mem(NULL, 0);
	CHECK_STATUS(mem_blob_decode(buf, n, session, got, 0, &n_entries), 0);
	CHECK_EQ(n_entries, 0);
}

static void mem_damaged(void)
{
	size_t n = make_mem(sample_mem_entries, 3);

	for (size_t bit = 0; bit < n * 8; bit++) {
		buf[bit / 8] ^= 1 << bit % 8;
		CHECK_STATUS(decode_mem(n), TCPX_EINVAL);
		buf[bit / 8] ^= 1 << bit % 8;
	}
	for (size_t cut = 0; cut < n; cut++)
		CHECK_STATUS(decode_mem(cut), TCPX_EINVAL);
	for (size_t cut = 12; cut < n; cut++) {
		make_mem(sample_mem_entries, 3);
		make_check_right(buf, cut);
		CHECK_STATUS(decode_mem(cut), TCPX_EINVAL);
	}
	/* four billion entries, says the count */
	make_mem(sample_mem_entries, 3);
	memset(buf + 8 + SESSION_ID_BYTES, 0xff, 4);
	make_check_right(buf, n);
	CHECK_STATUS(decode_mem(n), TCPX_EINVAL);
}

static void mem_entries_that_cannot_be(void)
{
	static const struct mem_blob_entry bad[] = {
		{0, 5, 10, 0, 0},
		{1, 5, 0, 0, 0},
		{1, 5, 10, 4, 0},
		{1, 5, 10, 0x80000000, 0},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK_STATUS(decode_mem(make_mem(&bad[i], 1)), TCPX_EINVAL);
}

static const struct check_case cases[] = {
	{"conn_round_trip", conn_round_trip, 0},
	{"the_largest_fits", the_largest_fits, 0},
	{"bare", bare, 0},
	{"says_how_much_it_needs", says_how_much_it_needs, 0},
	{"damaged", damaged, 0},
	{"truncated_and_checked", truncated_and_checked, 0},
	{"versions", versions, 0},
	{"one_is_not_the_other", one_is_not_the_other, 0},
	{"rails", rails, 0},
	{"more_rails_than_allowed", more_rails_than_allowed, 0},
	{"mem_round_trip", mem_round_trip, 0},
	{"mem_says_how_many", mem_says_how_many, 0},
	{"mem_damaged", mem_damaged, 0},
	{"mem_entries_that_cannot_be", mem_entries_that_cannot_be, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
