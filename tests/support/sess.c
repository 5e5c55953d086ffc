/* SPDX-License-Identifier: Apache-2.0 */
#include "support/sess.h"

#include "check.h"
#include "support/scale.h"

/*
 * A program's callback may take locks of its own, which others hold over calls
 * of the library: so it is called with no lock of the session or of a peer
 * held. This takes them all; the case hangs if one is.
 */
static void take_locks(struct tcpx_session *s)
{
	size_t len;

	if (s)
		CHECK_STATUS(tcpx_session_stats_json(s, NULL, 0, &len),
			     TCPX_ENOSPC);
}

static void keep_line(void *arg, enum tcpx_log_level level,
		      const char *subsystem, const char *line)
{
	struct sess *sess = arg;

	pthread_mutex_lock(&sess->lock);
	sess->n_by_level[level]++;
	snprintf(sess->lines[sess->n_lines++ % SESS_LINES],
		 sizeof(sess->lines[0]), "%s: %s", subsystem, line);
	pthread_mutex_unlock(&sess->lock);
	take_locks(atomic_load(&sess->live));
}

void sess_open(struct sess *sess, const char *name, sess_tweak_fn tweak)
{
	struct tcpx_config config;

	memset(sess, 0, sizeof(*sess));
	pthread_mutex_init(&sess->lock, NULL);
	CHECK_STATUS(tcpx_config_init(&config, keep_line, sess), TCPX_OK);
	config.name = name;
	config.ifnames = "lo";
	config.n_workers = 2;
	if (tweak)
		tweak(&config);
	sess->driven = config.n_workers == 0;
	CHECK_STATUS(tcpx_session_open(&config, &sess->s), TCPX_OK);
	atomic_store(&sess->live, sess->s);
}

/* Until when a line may take that is not told by the call itself. */
static uint64_t soon_ns(void)
{
	return test_now_ns() + (uint64_t)scale_ms(2000) * 1000000u;
}

void sess_print_log(struct sess *sess)
{
	unsigned int first = 0;

	pthread_mutex_lock(&sess->lock);
	if (sess->n_lines > SESS_LINES)
		first = sess->n_lines - SESS_LINES;
	for (unsigned int i = first; i < sess->n_lines; i++)
		fprintf(stderr, "  log: %s\n", sess->lines[i % SESS_LINES]);
	pthread_mutex_unlock(&sess->lock);
}

void sess_close(struct sess *sess)
{
	atomic_store(&sess->live, NULL);
	tcpx_session_close(sess->s);
	if (sess->n_lines && getenv("TEST_VERBOSE"))
		sess_print_log(sess);
	pthread_mutex_destroy(&sess->lock);
	sess->s = NULL;
}

static unsigned int count_warnings(struct sess *sess)
{
	unsigned int n;

	pthread_mutex_lock(&sess->lock);
	n = sess->n_by_level[TCPX_LOG_ERROR] + sess->n_by_level[TCPX_LOG_WARN];
	pthread_mutex_unlock(&sess->lock);
	return n;
}

unsigned int sess_warnings(struct sess *sess)
{
	unsigned int n = count_warnings(sess);

	if (n) /* or a check that wants none says only how many there are */
		sess_print_log(sess);
	return n;
}

unsigned int sess_await_warnings(struct sess *sess, unsigned int at_least)
{
	uint64_t end_ns = soon_ns();

	while (count_warnings(sess) < at_least && test_now_ns() < end_ns)
		test_sleep_ms(1);
	return sess_warnings(sess);
}

static bool has_line(struct sess *sess, const char *text)
{
	bool found = false;

	pthread_mutex_lock(&sess->lock);
	for (unsigned int i = 0; i < SESS_LINES && i < sess->n_lines; i++)
		found |= strstr(sess->lines[i], text) != NULL;
	pthread_mutex_unlock(&sess->lock);
	return found;
}

bool sess_logged(struct sess *sess, const char *text)
{
	uint64_t end_ns = soon_ns();

	while (!has_line(sess, text) && test_now_ns() < end_ns)
		test_sleep_ms(1);
	return has_line(sess, text);
}

void sess_must_warn(struct sess *sess, unsigned int warnings, const char *text)
{
	for (int i = 0; i < 500 && !has_line(sess, text); i++)
		test_sleep_ms(10);
	test_sleep_ms(100);
	CHECK_EQ(sess_await_warnings(sess, warnings), warnings);
	CHECK(has_line(sess, text));
}

uint64_t sess_register(struct sess *sess, const struct region *region,
		       uint32_t access)
{
	uint64_t mem;

	CHECK_STATUS(tcpx_mem_register(sess->s, region->data, region->len_bytes,
				       access, &mem),
		     TCPX_OK);
	return mem;
}

uint64_t sess_share(struct sess *owner, uint64_t mem, struct sess *user)
{
	char blob[512];
	size_t len, n = 0;
	uint64_t handle;

	CHECK_STATUS(tcpx_mem_blob(owner->s, &mem, 1, blob, sizeof(blob), &len),
		     TCPX_OK);
	CHECK_STATUS(tcpx_mem_load(user->s, blob, len, &handle, 1, &n),
		     TCPX_OK);
	CHECK_EQ(n, 1);
	return handle;
}

uint64_t sess_connect(struct sess *from, struct sess *to)
{
	char blob[TCPX_BLOB_MAX];
	uint64_t peer;
	size_t len;

	CHECK_STATUS(tcpx_session_blob(to->s, blob, sizeof(blob), &len),
		     TCPX_OK);
	CHECK_STATUS(tcpx_peer_connect(from->s, blob, len, &peer), TCPX_OK);
	if (!from->driven && !to->driven)
		CHECK_STATUS(tcpx_peer_wait(from->s, peer, scale_ms(5000)),
			     TCPX_OK);
	return peer;
}

void pair_drive(struct pair *pair)
{
	if (!pair->a->driven)
		return;
	tcpx_session_progress(pair->a->s, 0);
	tcpx_session_progress(pair->b->s, 0);
}

/* What a wait on one of them asks, again and again. */
struct ask {
	int (*fn)(struct ask *ask);
	struct sess *sess;
	uint64_t id;
	struct tcpx_event *event;
	struct tcpx_notification **note;
};

static int ask_xfer(struct ask *ask)
{
	int status = tcpx_xfer_test(ask->sess->s, ask->id);

	return status == TCPX_INPROGRESS ? TCPX_EAGAIN : status;
}

static int ask_peer(struct ask *ask)
{
	int status = tcpx_peer_wait(ask->sess->s, ask->id, 0);

	return status == TCPX_ETIMEDOUT ? TCPX_EAGAIN : status;
}

static int ask_event(struct ask *ask)
{
	return tcpx_event_poll(ask->sess->s, ask->event);
}

static int ask_note(struct ask *ask)
{
	return tcpx_notify_poll(ask->sess->s, ask->note);
}

static int drive_until(struct pair *pair, struct ask *ask, int timeout_ms)
{
	uint64_t end = test_now_ns() + (uint64_t)timeout_ms * 1000000u;
	int status;

	while ((status = ask->fn(ask)) == TCPX_EAGAIN) {
		if (test_now_ns() > end)
			return TCPX_ETIMEDOUT;
		pair_drive(pair);
	}
	return status;
}

int pair_wait(struct pair *pair, struct sess *sess, uint64_t xfer,
	      int timeout_ms)
{
	struct ask ask = {.fn = ask_xfer, .sess = sess, .id = xfer};

	if (!sess->driven)
		return tcpx_xfer_wait(sess->s, xfer, timeout_ms);
	return drive_until(pair, &ask, timeout_ms);
}

int pair_wait_peer(struct pair *pair, struct sess *sess, uint64_t peer,
		   int timeout_ms)
{
	struct ask ask = {.fn = ask_peer, .sess = sess, .id = peer};

	if (!sess->driven)
		return tcpx_peer_wait(sess->s, peer, timeout_ms);
	return drive_until(pair, &ask, timeout_ms);
}

int pair_wait_event(struct pair *pair, struct sess *sess,
		    struct tcpx_event *event, int timeout_ms)
{
	struct ask ask = {.fn = ask_event, .sess = sess, .event = event};

	if (!sess->driven)
		return tcpx_event_wait(sess->s, event, timeout_ms);
	return drive_until(pair, &ask, timeout_ms);
}

int pair_wait_note(struct pair *pair, struct sess *sess,
		   struct tcpx_notification **note, int timeout_ms)
{
	struct ask ask = {.fn = ask_note, .sess = sess, .note = note};

	if (!sess->driven)
		return tcpx_notify_wait(sess->s, note, timeout_ms);
	return drive_until(pair, &ask, timeout_ms);
}

static sess_tweak_fn pair_tweak;

static void tweak_driven(struct tcpx_config *config)
{
	if (pair_tweak)
		pair_tweak(config);
	config->n_workers = 0;
}

static uint64_t wait_incoming(struct pair *pair)
{
	struct tcpx_event event;

	CHECK_STATUS(pair_wait_event(pair, pair->b, &event, scale_ms(5000)),
		     TCPX_OK);
	CHECK_EQ(event.kind, TCPX_EVENT_PEER_CONNECTED);
	CHECK(event.incoming);
	CHECK_STR(event.name, "a");
	return event.peer;
}

void pair_open(struct pair *pair, enum pair_kind kind, sess_tweak_fn tweak)
{
	sess_tweak_fn fn = kind == PAIR_DRIVEN ? tweak_driven : tweak;

	pair_tweak = tweak;
	pair->a = &pair->first;
	pair->b = kind == PAIR_SELF ? &pair->first : &pair->second;
	sess_open(&pair->first, "a", fn);
	if (kind != PAIR_SELF)
		sess_open(&pair->second, "b", fn);
	pair->ab = sess_connect(pair->a, pair->b);
	CHECK_STATUS(pair_wait_peer(pair, pair->a, pair->ab, scale_ms(5000)),
		     TCPX_OK);
	pair->ba = kind == PAIR_SELF ? pair->ab : wait_incoming(pair);
}

void pair_close(struct pair *pair)
{
	sess_close(&pair->first);
	if (pair->b != pair->a)
		sess_close(&pair->second);
}

uint64_t xfer_make(struct sess *sess, uint64_t peer, enum tcpx_op op,
		   const struct tcpx_segment *segments, size_t n, uint64_t tag)
{
	struct tcpx_xfer_params params = {
		.size_bytes = sizeof(params),
		.peer = peer,
		.op = op,
		.segments = segments,
		.n_segments = n,
		.tag = tag,
	};
	uint64_t xfer;

	CHECK_STATUS(tcpx_xfer_prepare(sess->s, &params, &xfer), TCPX_OK);
	return xfer;
}

uint64_t xfer_one(struct sess *sess, uint64_t peer, enum tcpx_op op,
		  uint64_t local, uint64_t local_off, uint64_t remote,
		  uint64_t remote_off, uint64_t len_bytes)
{
	struct tcpx_segment segment = {local, local_off, remote, remote_off,
				       len_bytes};

	return xfer_make(sess, peer, op, &segment, 1, 0);
}

struct tcpx_segment *layout_segments(const struct layout *layout,
				     uint64_t local, uint64_t remote)
{
	struct tcpx_segment *segments = malloc(layout->n * sizeof(*segments));

	CHECK(segments);
	for (size_t i = 0; i < layout->n; i++)
		segments[i] = (struct tcpx_segment){
			.local_mem = local,
			.local_off = layout->pieces[i].a_off,
			.remote_mem = remote,
			.remote_off = layout->pieces[i].b_off,
			.len_bytes = layout->pieces[i].len_bytes,
		};
	return segments;
}

uint64_t xfer_layout(struct sess *sess, uint64_t peer, enum tcpx_op op,
		     const struct layout *layout, uint64_t local,
		     uint64_t remote)
{
	struct tcpx_segment *segments = layout_segments(layout, local, remote);
	uint64_t xfer = xfer_make(sess, peer, op, segments, layout->n, 0);

	free(segments);
	return xfer;
}
