/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of a program that has locks of its own, and takes its time: it is
 * called with nothing of the library held, so it holds up nobody.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "check.h"
#include "support/scale.h"
#include "support/sess.h"

#define RW (TCPX_ACCESS_REMOTE_READ | TCPX_ACCESS_REMOTE_WRITE)
#define SOON scale_ms(5000)
#define LEN 4096u

/* ---- the program's log ------------------------------------------------- */

static struct {
	pthread_t caller;
	atomic_bool calling; /* caller is in the call that is looked at */
	atomic_uint n_within; /* lines told by that call */
	atomic_bool blocks; /* who tells a refusal waits ... */
	atomic_bool waiting;
	atomic_bool go_on; /* ... for this */
	atomic_uint n_refusals;
	atomic_bool closed;
} program;

static void wait_for(atomic_bool *flag)
{
	uint64_t end_ns = test_now_ns() + (uint64_t)SOON * 1000000u;

	while (!atomic_load(flag) && test_now_ns() < end_ns)
		test_sleep_ms(1);
	CHECK(atomic_load(flag));
}

static void on_line(void *arg, enum tcpx_log_level level, const char *subsystem,
		    const char *line)
{
	(void)arg;
	(void)level;
	CHECK(!atomic_load(&program.closed));
	fprintf(stderr, "%s: %s\n", subsystem, line);
	if (atomic_load(&program.calling) &&
	    pthread_equal(pthread_self(), program.caller))
		atomic_fetch_add(&program.n_within, 1);
	if (strcmp(subsystem, "target"))
		return;
	atomic_fetch_add(&program.n_refusals, 1);
	if (!atomic_load(&program.blocks))
		return;
	atomic_store(&program.waiting, true);
	wait_for(&program.go_on);
}

static void one_worker(struct tcpx_config *config)
{
	config->log_fn = on_line;
	config->n_workers = 1;
}

static void no_worker(struct tcpx_config *config)
{
	config->log_fn = on_line;
	config->n_workers = 0;
}

/* ---- what is refused ---------------------------------------------------- */

/* b may write to `there`, until a takes it away. */
struct rig {
	struct sess a, b;
	uint64_t ab, ba;
	struct region here, there;
	uint64_t owned; /* by a */
	uint64_t xfer; /* b's, to what a has taken away */
};

static void refused_open(struct rig *rig, sess_tweak_fn tweak)
{
	uint64_t local;

	sess_open(&rig->a, "a", tweak);
	sess_open(&rig->b, "b", NULL);
	rig->ba = sess_connect(&rig->b, &rig->a);
	while (tcpx_peer_wait(rig->b.s, rig->ba, 1))
		if (rig->a.driven)
			(void)tcpx_session_progress(rig->a.s, 1);
	while (tcpx_peer_find(rig->a.s, "b", &rig->ab))
		test_sleep_ms(1);
	region_init(&rig->here, LEN, 1);
	region_init(&rig->there, LEN, 2);
	local = sess_register(&rig->b, &rig->here, RW);
	rig->owned = sess_register(&rig->a, &rig->there, RW);
	rig->xfer = xfer_one(&rig->b, rig->ba, TCPX_OP_WRITE, local, 0,
			     sess_share(&rig->a, rig->owned, &rig->b), 0, 8);
	CHECK_STATUS(tcpx_mem_deregister(rig->a.s, rig->owned), TCPX_OK);
}

static void refused_close(struct rig *rig)
{
	sess_close(&rig->a);
	atomic_store(&program.closed, true);
	sess_close(&rig->b);
	region_fini(&rig->here);
	region_fini(&rig->there);
}

/* ---- cases -------------------------------------------------------------- */

/* One of a's own, to b. */
static uint64_t xfer_of_a(struct rig *rig)
{
	uint64_t local = sess_register(&rig->a, &rig->there, RW);
	uint64_t owned = sess_register(&rig->b, &rig->here, RW);

	return xfer_one(&rig->a, rig->ab, TCPX_OP_WRITE, local, 0,
			sess_share(&rig->b, owned, &rig->a), 0, 8);
}

static void end(struct rig *rig, struct sess *sess, uint64_t xfer)
{
	while (tcpx_xfer_test(sess->s, xfer) == TCPX_INPROGRESS)
		(void)tcpx_session_progress(rig->a.s, 1);
}

/* A post takes the peer's turn, and with it what is to be said of requests that
 * came before: not in the middle of the post. */
static void nothing_is_told_by_a_post(void)
{
	struct rig rig;
	uint64_t own;

	program.caller = pthread_self();
	refused_open(&rig, no_worker);
	own = xfer_of_a(&rig);
	for (int i = 0; i < 50; i++) {
		CHECK_STATUS(tcpx_xfer_post(rig.b.s, rig.xfer, NULL), TCPX_OK);
		test_sleep_ms(2);
		while (tcpx_session_progress(rig.a.s, 0) == TCPX_EAGAIN &&
		       tcpx_xfer_test(rig.b.s, rig.xfer) == TCPX_INPROGRESS)
			;
		atomic_store(&program.calling, true);
		CHECK_STATUS(tcpx_xfer_post(rig.a.s, own, NULL), TCPX_OK);
		atomic_store(&program.calling, false);
		end(&rig, &rig.b, rig.xfer);
		end(&rig, &rig.a, own);
	}
	refused_close(&rig);
	CHECK_EQ(program.n_within, 0);
	CHECK(program.n_refusals > 0);
}

static void other_peers_go_on(struct rig *rig, struct sess *c, uint64_t ca)
{
	uint64_t owned = sess_register(&rig->a, &rig->there, RW);
	uint64_t local = sess_register(c, &rig->here, RW);
	uint64_t xfer = xfer_one(c, ca, TCPX_OP_WRITE, local, 0,
				 sess_share(&rig->a, owned, c), 0, LEN);

	CHECK_STATUS(tcpx_xfer_post(c->s, xfer, NULL), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_wait(c->s, xfer, SOON), TCPX_OK);
	CHECK_STATUS(tcpx_xfer_release(c->s, xfer), TCPX_OK);
}

/* While the log waits, who moves bytes moves them, and calls return. */
static void a_log_that_blocks(void)
{
	struct rig rig;
	struct sess c;
	uint64_t ac, ca;

	refused_open(&rig, one_worker);
	sess_open(&c, "c", NULL);
	ca = sess_connect(&c, &rig.a);
	while (tcpx_peer_find(rig.a.s, "c", &ac))
		test_sleep_ms(1);
	atomic_store(&program.blocks, true);
	CHECK_STATUS(tcpx_xfer_post(rig.b.s, rig.xfer, NULL), TCPX_OK);
	wait_for(&program.waiting);
	other_peers_go_on(&rig, &c, ca);
	CHECK_STATUS(tcpx_peer_disconnect(rig.a.s, ac), TCPX_OK);
	atomic_store(&program.go_on, true);
	sess_close(&c);
	refused_close(&rig);
}

/* Whatever waits is told before the session is closed, and nothing after. */
static void all_is_told_at_the_end(void)
{
	for (int i = 0; i < 20; i++) {
		struct rig rig;

		atomic_store(&program.closed, false);
		program.n_refusals = 0;
		refused_open(&rig, one_worker);
		CHECK_STATUS(tcpx_xfer_post(rig.b.s, rig.xfer, NULL), TCPX_OK);
		CHECK(tcpx_xfer_wait(rig.b.s, rig.xfer, SOON) != TCPX_OK);
		refused_close(&rig);
		CHECK_EQ(program.n_refusals, 1);
	}
}

static void count_line(void *arg, enum tcpx_log_level level,
		       const char *subsystem, const char *line)
{
	(void)level;
	(void)subsystem;
	if (strstr(line, "none of the transports \"netplugin\" can be used"))
		++*(unsigned int *)arg;
}

/* Nor is it later than the call that fails. */
static void why_it_cannot_be_opened(void)
{
	struct tcpx_config config;
	struct tcpx_session *s;
	unsigned int n = 0;

	setenv("TCPX_NETPLUGIN_PATH", "/nowhere/libnet.so", 1);
	CHECK_STATUS(tcpx_config_init(&config, count_line, &n), TCPX_OK);
	config.ifnames = "lo";
	config.transports = "netplugin";
	CHECK_STATUS(tcpx_session_open(&config, &s), TCPX_EUNSUPPORTED);
	CHECK_EQ(n, 1);
}

static const struct check_case cases[] = {
	{"nothing_is_told_by_a_post", nothing_is_told_by_a_post, 60},
	{"a_log_that_blocks", a_log_that_blocks, 60},
	{"all_is_told_at_the_end", all_is_told_at_the_end, 60},
	{"why_it_cannot_be_opened", why_it_cannot_be_opened, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
