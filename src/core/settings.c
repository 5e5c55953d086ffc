/* SPDX-License-Identifier: Apache-2.0 */
#include "core/settings.h"

#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "core/automatic.h"
#include "core/words.h"
#include "gpu/gpu.h"
#include "transport/transport.h"

#define K (1ll << 10)
#define M (1ll << 20)
#define G (1ll << 30)
#define HOUR_MS (3600ll * 1000)

#define FIELD(field)                                                           \
	.name = #field, .offset = offsetof(struct tcpx_config, field),         \
	.width_bytes = sizeof(((struct tcpx_config *)0)->field)

static const char *transport_name(uint32_t i)
{
	const struct transport_ops *ops = transport_at(i);

	return ops ? ops->name : NULL;
}

/* log_level first: what is wrong with the others is logged at that level. */
const struct setting settings[] = {
	{FIELD(log_level), .variable = "TCPX_LOG_LEVEL", .kind = SETTING_LEVEL,
	 .aliases = {{"UCCL_TCPX_VERBOSE", "trace"},
		     {"UCCL_TCPX_DEBUG", "debug"}},
	 .def = TCPX_LOG_WARN, .max = TCPX_LOG_TRACE,
	 .help = "how much is logged"},
	{FIELD(name), .variable = "TCPX_NAME", .kind = SETTING_TEXT, .min = 1,
	 .max = TCPX_NAME_MAX - 1,
	 .help = "the name peers see; not set: host-pid"},
	{FIELD(secret), .variable = "TCPX_SECRET", .kind = SETTING_SECRET,
	 .min = 1, .max = 256,
	 .help = "shared secret of sessions that connect by host:port"},
	{FIELD(bind), .variable = "TCPX_BIND", .kind = SETTING_TEXT, .min = 1,
	 .max = 255, .help = "address to listen on; not set: all"},
	{FIELD(ifnames), .variable = "TCPX_IFNAMES", .kind = SETTING_TEXT,
	 .aliases = {{"NCCL_GPUDIRECTTCPX_SOCKET_IFNAME", NULL}}, .min = 1,
	 .max = 1024,
	 .form = "names by commas; eth*: all that begin so; "
		 "^ first: all but these",
	 .help = "interfaces for data: eth1,eth2, or all but: ^docker0,lo"},
	{FIELD(ctrl_ifname), .variable = "TCPX_CTRL_IFNAME",
	 .kind = SETTING_TEXT,
	 .aliases = {{"NCCL_GPUDIRECTTCPX_CTRL_DEV", NULL}}, .min = 1,
	 .max = 15,
	 .help = "interface for control connections, apart from data"},
	{FIELD(advertise), .variable = "TCPX_ADVERTISE", .kind = SETTING_TEXT,
	 .min = 1, .max = 1024,
	 .help = "addresses told to peers, one a rail in rail order, "
		 "instead of the bound ones"},
	{FIELD(transports), .variable = "TCPX_TRANSPORTS", .kind = SETTING_TEXT,
	 .min = 1, .max = 256, .def_text = "socket", .word = transport_name,
	 .several = true,
	 .help = "allowed transports, best first; the loops stay inside one "
		 "process, for tests"},
	{FIELD(port_first), .variable = "TCPX_PORT", .kind = SETTING_PORTS,
	 .aliases = {{"UCCL_TCPX_BOOTSTRAP_PORT", NULL}}, .max = UINT16_MAX,
	 .help = "listening port, or a range to take the first free one of"},
	{FIELD(n_workers), .variable = "TCPX_WORKERS", .kind = SETTING_NUMBER,
	 .def = -1, .min = -1, .max = 256, .here = automatic_workers,
	 .help = "worker threads; -1: by CPUs; 0: the caller drives"},
	{FIELD(n_flows), .variable = "TCPX_FLOWS", .kind = SETTING_NUMBER,
	 .aliases = {{"UCCL_TCPX_NUM_CHANNELS", NULL}}, .max = 16,
	 .here = automatic_flows, .help = "connections a rail; 0: by CPUs"},
	{FIELD(n_rails), .variable = "TCPX_RAILS", .kind = SETTING_NUMBER,
	 .max = 8, .help = "rails a peer at most; 0: all"},
	{FIELD(chunk_bytes), .variable = "TCPX_CHUNK_BYTES",
	 .kind = SETTING_SIZE,
	 .aliases = {{"UCCL_TCPX_CHUNK_BYTES", NULL},
		     {"NCCL_P2P_NET_CHUNKSIZE", NULL}},
	 .min = 64 * K, .max = 4 * M, .step = 4 * K, .zero_too = true,
	 .here = automatic_host_chunk_bytes,
	 .help = "bytes of one channel operation at most; "
		 "0: 512K, with GPU memory 1M"},
	{FIELD(window_chunks), .variable = "TCPX_WINDOW_CHUNKS",
	 .kind = SETTING_NUMBER, .aliases = {{"UCCL_TCPX_WINDOW_SIZE", NULL}},
	 .def = 64, .min = 1, .max = 1024,
	 .help = "chunks in flight a channel at most"},
	{FIELD(small_bytes), .variable = "TCPX_SMALL_BYTES",
	 .kind = SETTING_SIZE, .def = 8 * K, .max = 32 * K,
	 .help = "transfers up to this ride in the request itself"},
	{FIELD(copy_below_bytes), .variable = "TCPX_COPY_BELOW",
	 .kind = SETTING_SIZE, .def = 1 * K, .max = 64 * K,
	 .help = "shorter segments are copied together before sending"},
	{FIELD(socket_buffer_bytes), .variable = "TCPX_SOCKET_BUFFER",
	 .kind = SETTING_SIZE, .min = 4 * K, .max = 1 * G, .zero_too = true,
	 .help = "socket send and receive buffer; 0: the kernel's choice"},
	{FIELD(busy_poll_us), .variable = "TCPX_BUSY_POLL_US",
	 .kind = SETTING_NUMBER, .def = 20, .max = 1000000,
	 .help = "microseconds of spinning before sleeping"},
	{FIELD(gpu), .variable = "TCPX_GPU", .kind = SETTING_TEXT, .min = 1,
	 .max = 16, .def_text = "auto", .word = gpu_driver_name,
	 .help = "GPU driver; auto: CUDA where it is loaded or asked for; "
		 "host: a pretend GPU"},
	{FIELD(gpu_slots), .variable = "TCPX_GPU_SLOTS", .kind = SETTING_NUMBER,
	 .def = 256, .min = 8, .max = 4096,
	 .help = "pinned slots of a chunk each, a GPU"},
	{FIELD(gpu_copy_engine), .variable = "TCPX_GPU_COPY_ENGINE",
	 .kind = SETTING_BOOL, .max = 1,
	 .help = "move bytes of GPUs by their copy engines, not by a kernel"},
	{FIELD(gpu_resident), .variable = "TCPX_GPU_RESIDENT",
	 .kind = SETTING_BOOL, .max = 1,
	 .help = "a kernel stays on the GPU and polls: quicker to start"},
	{FIELD(gpu_through_host), .variable = "TCPX_GPU_THROUGH_HOST",
	 .kind = SETTING_BOOL, .max = 1,
	 .help = "what comes into a transport's pages on a GPU goes to its "
		 "place through pinned host memory; to compare"},
	{FIELD(connect_timeout_ms), .variable = "TCPX_CONNECT_TIMEOUT_MS",
	 .kind = SETTING_NUMBER, .def = 10000, .min = 1, .max = HOUR_MS,
	 .help = "milliseconds until a connect has failed"},
	{FIELD(liveness_ms), .variable = "TCPX_LIVENESS_MS",
	 .kind = SETTING_NUMBER, .def = 10000, .min = 200, .max = HOUR_MS,
	 .help = "milliseconds until a silent peer is lost"},
	{FIELD(deadline_ms), .variable = "TCPX_DEADLINE_MS",
	 .kind = SETTING_NUMBER, .def = 30000, .max = UINT32_MAX,
	 .help = "milliseconds a transfer may see no progress by the peer, once "
		 "a SEND has met its RECV; 0: no limit"},
	{FIELD(max_half_open), .variable = "TCPX_MAX_HALF_OPEN",
	 .kind = SETTING_NUMBER, .def = 256, .min = 1, .max = 65536,
	 .help = "unauthenticated connections at once"},
	{FIELD(notify_queue_bytes), .variable = "TCPX_NOTIFY_QUEUE_BYTES",
	 .kind = SETTING_SIZE, .def = 16 * M, .min = 2 * M, .max = 64 * G,
	 .help = "unread notifications a peer, in bytes"},
	{FIELD(max_peers), .variable = "TCPX_MAX_PEERS", .kind = SETTING_NUMBER,
	 .def = 65536, .min = 1, .max = 1 << 20, .help = "peers at once"},
	{FIELD(checksum), .variable = "TCPX_CHECKSUM", .kind = SETTING_BOOL,
	 .max = 1,
	 .help = "xxHash of every chunk, against what TCP does not see"},
};
const size_t n_settings = sizeof(settings) / sizeof(*settings);

_Static_assert(offsetof(struct tcpx_config, port_last) ==
		       offsetof(struct tcpx_config, port_first) +
			       sizeof(uint16_t),
	       "SETTING_PORTS takes two fields");

static const char *const level_names[] = {"none", "error", "warn",
					  "info", "debug", "trace"};

static void *field_of(const struct setting *s, struct tcpx_config *config)
{
	return (char *)config + s->offset;
}

static const void *field_in(const struct setting *s,
			    const struct tcpx_config *config)
{
	return (const char *)config + s->offset;
}

bool setting_is_text(const struct setting *s)
{
	return s->kind == SETTING_TEXT || s->kind == SETTING_SECRET;
}

const char **setting_text(const struct setting *s, struct tcpx_config *config)
{
	return field_of(s, config);
}

static const char *text_in(const struct setting *s,
			   const struct tcpx_config *config)
{
	const char *text;

	memcpy(&text, field_in(s, config), sizeof(text));
	return text;
}

static void number_put(const struct setting *s, struct tcpx_config *config,
		       int64_t value)
{
	switch (s->width_bytes) {
	case 1:
		*(bool *)field_of(s, config) = value;
		break;
	case 4:
		*(uint32_t *)field_of(s, config) = (uint32_t)value;
		break;
	case 8:
		*(uint64_t *)field_of(s, config) = (uint64_t)value;
		break;
	}
}

static int64_t number_in(const struct setting *s,
			 const struct tcpx_config *config)
{
	const void *field = field_in(s, config);
	uint32_t v;
	uint64_t w;

	switch (s->width_bytes) {
	case 1:
		return *(const unsigned char *)field;
	case 4:
		memcpy(&v, field, sizeof(v));
		return s->min < 0 ? (int32_t)v : (int64_t)v;
	default:
		memcpy(&w, field, sizeof(w));
		return w > INT64_MAX ? INT64_MAX : (int64_t)w;
	}
}

void setting_default(const struct setting *s, struct tcpx_config *config)
{
	if (setting_is_text(s))
		*setting_text(s, config) = s->def_text;
	else if (s->kind == SETTING_PORTS)
		config->port_first = config->port_last = (uint16_t)s->def;
	else
		number_put(s, config, s->def);
}

static bool number_allowed(const struct setting *s, int64_t value)
{
	if (value == 0 && s->zero_too)
		return true;
	return value >= s->min && value <= s->max &&
	       (s->step == 0 || value % s->step == 0);
}

static bool parse_level(const char *text, int64_t *level)
{
	for (int i = 0; i <= TCPX_LOG_TRACE; i++) {
		if (strcasecmp(text, level_names[i]) == 0) {
			*level = i;
			return true;
		}
	}
	return parse_i64(text, level);
}

static bool parse_number(const struct setting *s, const char *text,
			 int64_t *value)
{
	uint64_t bytes;
	bool on;

	switch (s->kind) {
	case SETTING_SIZE:
		if (!parse_size(text, &bytes) || bytes > INT64_MAX)
			return false;
		*value = (int64_t)bytes;
		return true;
	case SETTING_BOOL:
		if (!parse_bool(text, &on))
			return false;
		*value = on;
		return true;
	case SETTING_LEVEL:
		return parse_level(text, value);
	default:
		return parse_i64(text, value);
	}
}

bool setting_parse(const struct setting *s, struct tcpx_config *config,
		   const char *text)
{
	int64_t value = 0;

	if (setting_is_text(s)) {
		if (!words_allowed(s, text))
			return false;
		*setting_text(s, config) = text;
		return true;
	}
	if (s->kind == SETTING_PORTS)
		return parse_ports(text, &config->port_first,
				   &config->port_last);
	if (!parse_number(s, text, &value) || !number_allowed(s, value))
		return false;
	number_put(s, config, value);
	return true;
}

bool setting_valid(const struct setting *s, const struct tcpx_config *config)
{
	const char *text;

	if (setting_is_text(s)) {
		text = text_in(s, config);
		return !text || words_allowed(s, text);
	}
	if (s->kind == SETTING_PORTS)
		return config->port_first <= config->port_last &&
		       (config->port_first > 0 || config->port_last == 0);
	return number_allowed(s, number_in(s, config));
}

bool setting_same(const struct setting *s, const struct tcpx_config *a,
		  const struct tcpx_config *b)
{
	if (setting_is_text(s)) {
		const char *x = text_in(s, a), *y = text_in(s, b);

		return x == y || (x && y && strcmp(x, y) == 0);
	}
	if (s->kind == SETTING_PORTS)
		return a->port_first == b->port_first &&
		       a->port_last == b->port_last;
	return number_in(s, a) == number_in(s, b);
}

static void show_size(int64_t bytes, struct text *out)
{
	static const char units[] = "GMK";
	int64_t unit = G;

	for (int i = 0; i < 3 && bytes > 0; i++, unit /= 1024) {
		if (bytes % unit == 0) {
			text_add(out, "%lld%c", (long long)(bytes / unit),
				 units[i]);
			return;
		}
	}
	text_add(out, "%lld", (long long)bytes);
}

static void show_number(const struct setting *s, int64_t value,
			struct text *out)
{
	if (s->kind == SETTING_SIZE)
		show_size(value, out);
	else if (s->kind == SETTING_LEVEL && value >= 0 &&
		 value <= TCPX_LOG_TRACE)
		text_add(out, "%s", level_names[value]);
	else
		text_add(out, "%lld", (long long)value);
}

static void show_ports(const struct tcpx_config *config, struct text *out)
{
	text_add(out, "%u", config->port_first);
	if (config->port_last != config->port_first)
		text_add(out, "-%u", config->port_last);
}

void setting_show(const struct setting *s, const struct tcpx_config *config,
		  struct text *out)
{
	if (s->kind == SETTING_SECRET)
		text_add(out, "(hidden)");
	else if (s->kind == SETTING_TEXT && text_in(s, config))
		text_add(out, "\"%s\"", text_in(s, config));
	else if (s->kind == SETTING_TEXT)
		text_add(out, "not set");
	else if (s->kind == SETTING_PORTS)
		show_ports(config, out);
	else
		show_number(s, number_in(s, config), out);
}

void setting_show_allowed(const struct setting *s, struct text *out)
{
	switch (s->kind) {
	case SETTING_TEXT:
	case SETTING_SECRET:
		words_show(s, out);
		return;
	case SETTING_BOOL:
		text_add(out, "1, yes, true, on, 0, no, false, off");
		return;
	case SETTING_LEVEL:
		text_add(out, "none, error, warn, info, debug, trace");
		return;
	case SETTING_PORTS:
		text_add(out, "0 (any free), a port, or first-last");
		return;
	default:
		break;
	}
	if (s->zero_too)
		text_add(out, "0, ");
	show_number(s, s->min, out);
	text_add(out, " to ");
	show_number(s, s->max, out);
	if (s->step) {
		text_add(out, " in steps of ");
		show_number(s, s->step, out);
	}
}

json_t *setting_json(const struct setting *s, const struct tcpx_config *config)
{
	char buf[32];
	struct text out;

	if (setting_is_text(s)) {
		const char *text = text_in(s, config);
		json_t *json;

		if (!text)
			return json_null();
		if (s->kind == SETTING_SECRET)
			return json_string("(hidden)");
		json = json_string(text);
		return json ? json : json_string("(not UTF-8)");
	}
	if (s->kind == SETTING_BOOL)
		return json_boolean(number_in(s, config) != 0);
	if (s->kind == SETTING_NUMBER || s->kind == SETTING_SIZE)
		return json_integer(number_in(s, config));
	text_init(&out, buf, sizeof(buf));
	setting_show(s, config, &out);
	return json_string(buf);
}
