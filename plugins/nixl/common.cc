/* SPDX-License-Identifier: Apache-2.0 */
#include "common.h"

#include <cstring>

extern "C" {
#include "base/utf8.h"
}

#define NOTE_VERSION 1
#define NOTE_HEADER_BYTES 4u

static abi::status argument(int status)
{
	switch (status) {
	case TCPX_ENOENT:
		return abi::STATUS_NOT_FOUND;
	case TCPX_EACCES:
		return abi::STATUS_NOT_ALLOWED;
	case TCPX_EBUSY:
		return abi::STATUS_REPOST_ACTIVE;
	case TCPX_EUNSUPPORTED:
		return abi::STATUS_NOT_SUPPORTED;
	case TCPX_EVERSION:
		return abi::STATUS_MISMATCH;
	default:
		return abi::STATUS_INVALID_PARAM;
	}
}

abi::status status_for_nixl(int status)
{
	if (status == TCPX_OK)
		return abi::STATUS_SUCCESS;
	if (status == TCPX_INPROGRESS)
		return abi::STATUS_IN_PROGRESS;
	if (status == TCPX_ECANCELED)
		return abi::STATUS_CANCELED;
	switch (tcpx_status_scope(status)) {
	case TCPX_SCOPE_ARGUMENT:
		return argument(status);
	case TCPX_SCOPE_PEER:
		return abi::STATUS_REMOTE_DISCONNECT;
	default:
		return abi::STATUS_BACKEND;
	}
}

std::string note_encode(const std::string &agent, const std::string &message)
{
	const char header[NOTE_HEADER_BYTES] = {
		NOTE_VERSION, 0, static_cast<char>(agent.size() & 0xff),
		static_cast<char>(agent.size() >> 8 & 0xff)};
	std::string note;

	note.reserve(sizeof(header) + agent.size() + message.size());
	note.append(header, sizeof(header));
	note.append(agent);
	note.append(message);
	return note;
}

bool note_decode(const void *data, size_t len_bytes, std::string *agent,
		 std::string *message)
{
	const char *text = static_cast<const char *>(data);
	const auto *raw = static_cast<const unsigned char *>(data);

	if (len_bytes < NOTE_HEADER_BYTES || raw[0] != NOTE_VERSION || raw[1])
		return false;
	size_t name = raw[2] | static_cast<size_t>(raw[3]) << 8;

	if (name > len_bytes - NOTE_HEADER_BYTES)
		return false;
	agent->assign(text + NOTE_HEADER_BYTES, name);
	message->assign(text + NOTE_HEADER_BYTES + name,
			len_bytes - NOTE_HEADER_BYTES - name);
	return true;
}

size_t note_max_bytes(const std::string &agent)
{
	return TCPX_NOTIFY_MAX - NOTE_HEADER_BYTES - agent.size();
}

std::string name_shown(const std::string &agent, size_t max_bytes)
{
	std::string name = agent;

	/* First, so that a character is cut whole and is not half of one. */
	utf8_clean(&name[0], name.size());
	if (name.size() > max_bytes) {
		while (max_bytes && (name[max_bytes] & 0xc0) == 0x80)
			max_bytes--;
		name.resize(max_bytes);
	}
	return name.empty() ? "?" : name;
}
