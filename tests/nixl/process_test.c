/* SPDX-License-Identifier: Apache-2.0 */
/* The backend in a real NIXL, two processes; one of them stops, dies, comes
 * back, or never polls. */
#include <inttypes.h>

#include "check.h"
#include "duo.h"
#include "e2e/hex.h"
#include "support/proc.h"

#define LIVENESS_MS 1000

static const char *const params[] = {"liveness_ms=1000", NULL};

/* The agent b in its process. */
struct far {
	struct proc proc;
	uint64_t addr;
	uint8_t md[16384];
	size_t md_len;
};

static void far_start_with(struct far *far, size_t len_bytes, const char *param)
{
	char len[32], path[4096];
	const char *const argv[] = {path,      "b",   len, "2",
				    params[0], param, NULL};
	const char *line;
	int used = 0;

	snprintf(path, sizeof(path), "%s", proc_path("TEST_NIXLD", "nixld"));
	snprintf(len, sizeof(len), "%zu", len_bytes);
	proc_start(&far->proc, NULL, NULL, argv);
	line = proc_line(&far->proc, SOON);
	CHECK(line &&
	      sscanf(line, "ok %" SCNu64 " %n", &far->addr, &used) == 1);
	far->md_len = hex_decode(line + used, far->md, sizeof(far->md));
	CHECK(far->md_len > 0 && far->md_len < sizeof(far->md));
}

static void far_start(struct far *far, size_t len_bytes)
{
	far_start_with(far, len_bytes, NULL);
}

#define FAR_OK(far, ...) CHECK(proc_ask(&(far)->proc, __VA_ARGS__))

/* Agent a here, with a region; b there; a knows b. */
struct two {
	struct side a;
	struct region near;
	struct far far;
};

static void two_open(struct two *two, size_t len_bytes)
{
	side_open(&two->a, "a", params);
	region_init(&two->near, len_bytes, 1);
	side_register(&two->a, two->near.data, len_bytes);
	far_start(&two->far, len_bytes);
	CHECK_EQ(side_load(&two->a, two->far.md, two->far.md_len), 0);
}

static void two_close(struct two *two)
{
	CHECK(region_check(&two->near, "near"));
	proc_send(&two->far.proc, "quit");
	CHECK_EQ(proc_stop(&two->far.proc), 0);
	side_close(&two->a);
	region_fini(&two->near);
}

static void *two_request(struct two *two, enum capi_op op, size_t len_bytes)
{
	void *req = side_one(&two->a, op, "b", two->near.data, two->far.addr,
			     len_bytes, "moved", 5);

	CHECK(req);
	return req;
}

/* b learns how to reach a. */
static void introduce(struct two *two)
{
	char *hex;
	size_t len;
	void *md = side_md(&two->a, &len);

	hex = malloc(2 * len + 1);
	CHECK(hex);
	hex_encode(md, len, hex);
	FAR_OK(&two->far, "load %s", hex);
	free(hex);
	free(md);
}

/* NIXLs before 1.5 forget an agent when a backend says that it is gone, and
 * so tell apart this failure from others. (user_test.py does it for all.) */
static void want_forgotten(struct two *two, uint64_t addr)
{
	const char *version = getenv("NIXL_VERSION");

	if (version && strcmp(version, "1.5") < 0)
		CHECK(!side_knows(&two->a, "b", addr, M));
	capi()->invalidate_remote_md(two->a.agent, "b");
	CHECK(!side_knows(&two->a, "b", addr, M));
}

static void want_gone(struct two *two, void *req, int status)
{
	CHECK(status < 0);
	want_forgotten(two, two->far.addr);
	side_release(&two->a, req);
}

static void revive(struct two *two)
{
	size_t len = two->near.len_bytes;
	void *req;

	proc_kill(&two->far.proc);
	far_start(&two->far, len);
	CHECK_EQ(side_load(&two->a, two->far.md, two->far.md_len), 0);
	req = two_request(two, CAPI_WRITE, len);
	side_run(&two->a, req);
	side_release(&two->a, req);
	FAR_OK(&two->far, "want 0 %zu 1 0", len);
	FAR_OK(&two->far, "check");
	CHECK_STR(proc_ask(&two->far.proc, "note %d", SOON), "a moved");
}

/* ---- while all is well ------------------------------------------------ */

static void target_never_polls(void)
{
	struct two two;

	two_open(&two, 16 * M);
	void *req = two_request(&two, CAPI_READ, 8 * M);

	for (int i = 0; i < 5; i++)
		side_run(&two.a, req);
	side_release(&two.a, req);
	region_want(&two.near, 0, 8 * M, 2, 0);
	CHECK(region_check(&two.near, "near"));
	pattern_fill(two.near.data, 8 * M, 7, 0);
	region_want(&two.near, 0, 8 * M, 7, 0);
	req = two_request(&two, CAPI_WRITE, 16 * M);
	side_run(&two.a, req);
	side_release(&two.a, req);
	FAR_OK(&two.far, "want 0 %lu 7 0", 8 * M);
	FAR_OK(&two.far, "want %lu %lu 1 %lu", 8 * M, 8 * M, 8 * M);
	FAR_OK(&two.far, "check");
	for (int i = 0; i < 6; i++)
		CHECK_STR(proc_ask(&two.far.proc, "note %d", SOON), "a moved");
	CHECK_STR(proc_ask(&two.far.proc, "note 30"), "-");
	two_close(&two);
}

static void pings(void)
{
	size_t n = scale_count(1000);
	struct two two;

	two_open(&two, 4096);
	introduce(&two);
	proc_send(&two.far.proc, "echo %zu %d", n, SOON);
	for (uint32_t i = 0; i < n; i++) {
		side_tell(&two.a, "b", &i, sizeof(i));
		side_want_note(&two.a, "b", &i, sizeof(i));
	}
	CHECK_STR(proc_line(&two.far.proc, SOON), "ok");
	two_close(&two);
}

static void both_write(void)
{
	struct two two;

	two_open(&two, 4 * M);
	introduce(&two);
	void *req = two_request(&two, CAPI_WRITE, M);

	proc_send(&two.far.proc, "write a %" PRIu64 " %lu",
		  region_at(&two.near, 2 * M), M);
	/* Both are sending; the one there takes its bytes from where ours
	 * go, so of those only the second half is certain. */
	side_run(&two.a, req);
	side_release(&two.a, req);
	CHECK_STR(proc_line(&two.far.proc, SOON), "ok");
	side_want_note(&two.a, "b", "written", 7);
	memcpy(two.near.want + 2 * M, two.near.data + 2 * M, M);
	FAR_OK(&two.far, "want 0 %lu 1 0", M);
	FAR_OK(&two.far, "check");
	two_close(&two);
}

/* ---- the end of one --------------------------------------------------- */

static void killed_before_post(void)
{
	struct two two;

	two_open(&two, M);
	for (int i = 0; i < 3; i++) {
		void *req = two_request(&two, CAPI_WRITE, M);

		if (i) /* of the first nobody has made sure that it connects */
			side_run(&two.a, req);
		proc_kill(&two.far.proc);
		test_sleep_ms(30 * i);
		int status = side_post(&two.a, req);

		if (status >= 0)
			status = side_wait(&two.a, req, SOON);
		want_gone(&two, req, status);
		revive(&two);
	}
	two_close(&two);
}

static void killed_in_flight(void)
{
	uint64_t random = check_seed();
	struct two two;

	two_open(&two, 64 * M);
	for (int i = 0; i < 4; i++) {
		void *req = two_request(&two, CAPI_WRITE, 64 * M);
		int status = 0;

		side_run(&two.a, req);
		uint64_t end = test_now_ns() + check_rand(&random) % 60000000;
		bool killed = false;

		while (status >= 0) {
			status = side_post(&two.a, req);
			while (status >= 0) {
				status = capi()->get_xfer_status(two.a.agent,
								 req);
				if (!status)
					break;
				if (killed || test_now_ns() < end)
					continue;
				proc_kill(&two.far.proc);
				killed = true;
			}
		}
		CHECK(killed);
		want_gone(&two, req, status);
		revive(&two);
	}
	two_close(&two);
}

static void frozen(bool in_flight)
{
	struct two two;

	two_open(&two, 64 * M);
	void *req = two_request(&two, CAPI_WRITE, 64 * M);

	side_run(&two.a, req);
	if (in_flight)
		CHECK(side_post(&two.a, req) >= 0);
	siginfo_t info;

	proc_signal(&two.far.proc, SIGSTOP);
	/* All of its threads. */
	CHECK_EQ(waitid(P_PID, (id_t)two.far.proc.pid, &info,
			WSTOPPED | WNOWAIT),
		 0);
	uint64_t begin = test_now_ns();

	if (!in_flight)
		CHECK(side_post(&two.a, req) >= 0);
	int status = side_wait(&two.a, req, SOON);
	uint64_t took_ms = (test_now_ns() - begin) / 1000000;

	if (in_flight && !status) {
		/* It had been faster than the signal. */
		CHECK(side_post(&two.a, req) >= 0);
		status = side_wait(&two.a, req, SOON);
	}
	fprintf(stderr, "found after %" PRIu64 " ms\n", took_ms);
	CHECK(took_ms < (uint64_t)scale_ms(2 * LIVENESS_MS + 1000));
	want_gone(&two, req, status);
	revive(&two);
	two_close(&two);
}

static void frozen_in_flight(void)
{
	frozen(true);
}

static void frozen_while_idle(void)
{
	frozen(false);
}

/* Metadata of somebody who is gone by the time it is loaded. */
static void refused(void)
{
	struct two two;
	struct far gone;

	two_open(&two, M);
	far_start(&gone, M);
	proc_kill(&gone.proc);
	CHECK_EQ(capi()->invalidate_remote_md(two.a.agent, "b"), 0);
	CHECK_EQ(side_load(&two.a, gone.md, gone.md_len), 0);
	void *req = side_one(&two.a, CAPI_READ, "b", two.near.data, gone.addr,
			     M, NULL, 0);

	CHECK(req);
	int status = side_post(&two.a, req);

	if (status >= 0)
		status = side_wait(&two.a, req, SOON);
	CHECK(status < 0);
	want_forgotten(&two, gone.addr);
	side_release(&two.a, req);
	CHECK_EQ(side_load(&two.a, two.far.md, two.far.md_len), 0);
	req = two_request(&two, CAPI_READ, M);
	side_run(&two.a, req);
	side_release(&two.a, req);
	region_want(&two.near, 0, M, 2, 0);
	two_close(&two);
}

/* b is there and has no room: a failure in time, not a wait for ever. */
static void full(void)
{
	struct region mine;
	struct side a, late;
	struct far b;
	int failed = 0;

	side_open(&a, "a", params);
	side_open(&late, "late", params);
	region_init(&mine, M, 1);
	side_register(&late, mine.data, M);
	far_start_with(&b, M, "max_peers=1");
	CHECK_EQ(side_load(&a, b.md, b.md_len), 0);
	side_tell(&a, "b", "x", 1);
	CHECK_STR(proc_ask(&b.proc, "note %d", SOON), "a x");

	CHECK_EQ(side_load(&late, b.md, b.md_len), 0);
	void *req = side_one(&late, CAPI_WRITE, "b", mine.data, b.addr, M,
			     "never", 5);
	int status = side_post(&late, req);

	if (status >= 0)
		status = side_wait(&late, req, SOON);
	CHECK(status < 0);
	CHECK(side_post(&late, req) < 0);
	for (int i = 0; i < SOON && !failed; i += 5) {
		failed = capi()->gen_notif(late.agent, "b", "y", 1, late.args) <
			 0;
		test_sleep_ms(5);
	}
	CHECK(failed);
	side_release(&late, req);
	side_close(&late);
	region_fini(&mine);
	/* Whom it has is not harmed. */
	side_tell(&a, "b", "z", 1);
	CHECK_STR(proc_ask(&b.proc, "note %d", SOON), "a z");
	proc_send(&b.proc, "quit");
	CHECK_EQ(proc_stop(&b.proc), 0);
	side_close(&a);
}

/* It ended properly, and another one has its name. */
static void restarted(void)
{
	struct two two;

	two_open(&two, M);
	for (int i = 0; i < 3; i++) {
		void *req = two_request(&two, CAPI_WRITE, M);

		side_run(&two.a, req);
		proc_send(&two.far.proc, "quit");
		CHECK_EQ(proc_stop(&two.far.proc), 0);
		int status = side_post(&two.a, req);

		if (status >= 0)
			status = side_wait(&two.a, req, SOON);
		want_gone(&two, req, status);
		revive(&two);
	}
	two_close(&two);
}

/* Notifications to one who is gone: no hang, and others are not harmed. */
static void telling_the_dead(void)
{
	struct two two;
	int failed = 0;

	two_open(&two, M);
	side_tell(&two.a, "b", "x", 1);
	CHECK_STR(proc_ask(&two.far.proc, "note %d", SOON), "a x");
	proc_kill(&two.far.proc);
	for (int i = 0; i < SOON && !failed; i += 5) {
		failed = capi()->gen_notif(two.a.agent, "b", "y", 1,
					   two.a.args) < 0;
		test_sleep_ms(5);
	}
	CHECK(failed);
	capi()->invalidate_remote_md(two.a.agent, "b");
	revive(&two);
	two_close(&two);
}

static const struct check_case cases[] = {
	{"target_never_polls", target_never_polls, 0},
	{"pings", pings, 0},
	{"both_write", both_write, 0},
	{"killed_before_post", killed_before_post, 60},
	{"killed_in_flight", killed_in_flight, 60},
	{"frozen_in_flight", frozen_in_flight, 0},
	{"frozen_while_idle", frozen_while_idle, 0},
	{"refused", refused, 0},
	{"full", full, 60},
	{"restarted", restarted, 60},
	{"telling_the_dead", telling_the_dead, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
