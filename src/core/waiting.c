/* SPDX-License-Identifier: Apache-2.0 */

/* What arrives for the program: events and notifications, polled or awaited,
 * and descriptors to await it by. */

#include "base/clock.h"
#include "core/peering.h"
#include "engine/notes.h"

/* ---- events ----------------------------------------------------------- */

int tcpx_event_poll(struct tcpx_session *session, struct tcpx_event *event)
{
	if (!session_is_ours(session) || !event)
		return session_null(session, __func__);
	if (!inbox_has_event(session->inbox))
		session_visit(session);
	return inbox_take_event(session->inbox, event) ? 0 : TCPX_EAGAIN;
}

static bool event_there(void *arg)
{
	return inbox_has_event(arg);
}

int tcpx_event_wait(struct tcpx_session *session, struct tcpx_event *event,
		    int timeout_ms)
{
	uint64_t deadline_ns = clock_deadline_ns(timeout_ms);

	if (!session_is_ours(session) || !event)
		return session_null(session, __func__);
	/* Another thread may take what this one saw. */
	while (!inbox_take_event(session->inbox, event))
		if (engine_drive(session->engine, event_there, session->inbox,
				 deadline_ns))
			return TCPX_ETIMEDOUT;
	return 0;
}

/* ---- notifications ---------------------------------------------------- */

int tcpx_notify_send(struct tcpx_session *session, uint64_t peer,
		     const void *data, size_t len_bytes)
{
	if (!session_is_ours(session))
		return TCPX_EINVAL;
	if (len_bytes > TCPX_NOTIFY_MAX || (len_bytes && !data)) {
		log_error(&session->log, "notify",
			  "cannot send %zu bytes at %p: at most 1 MiB",
			  len_bytes, data);
		return TCPX_EINVAL;
	}
	struct peering *peering = peering_of(session, peer);

	if (!peering)
		return session_no_such(session, "peer", peer);
	int err = load_acquire(&peering->status);

	if (err == TCPX_INPROGRESS)
		err = TCPX_EAGAIN;
	if (!err)
		err = notes_send(peering->peer, data, (uint32_t)len_bytes);
	peering_put(peering);
	return err;
}

/* It is not unread any more; opens the sender's window again. */
static void account(struct tcpx_session *session, const struct inbox_note *note)
{
	struct peering *peering = peering_of(session, note->charge_peer);

	if (!peering)
		return;
	add_relaxed(&peering->unread_bytes, -inbox_note_bytes(note));
	notes_read(peering->peer, (uint32_t)note->charge_bytes);
	peering_put(peering);
}

static struct inbox_note *take(struct tcpx_session *session)
{
	struct inbox_note *note = inbox_take_note(session->inbox);

	if (note)
		account(session, note);
	return note;
}

void waiting_drop_notes(struct tcpx_session *session, uint64_t peer)
{
	struct list notes;

	list_init(&notes);
	inbox_take_notes_of(session->inbox, peer, &notes);
	list_for_each_safe (node, &notes) {
		struct inbox_note *note =
			list_entry(node, struct inbox_note, link);

		account(session, note);
		tcpx_notify_free(&note->pub);
	}
}

int tcpx_notify_poll(struct tcpx_session *session,
		     struct tcpx_notification **notification)
{
	if (!session_is_ours(session) || !notification)
		return session_null(session, __func__);
	if (!inbox_has_note(session->inbox))
		session_visit(session);
	struct inbox_note *note = take(session);

	if (!note)
		return TCPX_EAGAIN;
	*notification = &note->pub;
	return 0;
}

static bool note_there(void *arg)
{
	return inbox_has_note(arg);
}

int tcpx_notify_wait(struct tcpx_session *session,
		     struct tcpx_notification **notification, int timeout_ms)
{
	uint64_t deadline_ns = clock_deadline_ns(timeout_ms);
	struct inbox_note *note;

	if (!session_is_ours(session) || !notification)
		return session_null(session, __func__);
	while (!(note = take(session)))
		if (engine_drive(session->engine, note_there, session->inbox,
				 deadline_ns))
			return TCPX_ETIMEDOUT;
	*notification = &note->pub;
	return 0;
}

/* ---- event loops ------------------------------------------------------ */

int tcpx_session_fd(struct tcpx_session *session, int *fd)
{
	if (!session_is_ours(session) || !fd)
		return session_null(session, __func__);
	return wakeup_open(&session->engine->wakeups, fd);
}

/* After it was armed: who puts one from here on tells it. */
static bool is_unread(struct tcpx_session *session, uint32_t wanted)
{
	return (wanted & TCPX_WAKE_NOTIFY && inbox_has_note(session->inbox)) ||
	       (wanted & TCPX_WAKE_EVENT && inbox_has_event(session->inbox));
}

int tcpx_session_arm(struct tcpx_session *session, int fd, uint32_t wanted)
{
	if (!session_is_ours(session))
		return TCPX_EINVAL;
	if (wanted & ~(uint32_t)TCPX_WAKE_ALL)
		return session_bad_argument(session, __func__,
					    "not of enum tcpx_wake");
	int err = engine_arm(session->engine, fd, wanted);

	if (err == TCPX_ENOENT)
		log_error(&session->log, "session",
			  "%s: descriptor %d is not from tcpx_session_fd() of "
			  "this session",
			  __func__, fd);
	if (err || !is_unread(session, wanted))
		return err;
	engine_disarm(session->engine, fd);
	return TCPX_EAGAIN;
}
