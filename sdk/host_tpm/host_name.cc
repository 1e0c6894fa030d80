#include "sdk/host_tpm/host_name.h"

#include <charconv>

namespace bulkhead::sdk {

/* Decimal, the whole text. */
template <typename T>
static Attempt<void, Name_error> parse_number(std::string_view text, T least, T most, T &to)
{
	T value{};
	auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
	bool const whole = error == std::errc{} && end == text.data() + text.size();
	if (!whole || value < least || value > most) return Name_error::BAD_NUMBER;
	to = value;
	return Ok{};
}

static Attempt<void, Name_error> parse_bool(std::string_view text, bool &to)
{
	if (text != "0" && text != "1") return Name_error::BAD_NUMBER;
	to = text == "1";
	return Ok{};
}

static Attempt<void, Name_error> parse_option(std::string_view option, Host_name &name)
{
	size_t const equals = option.find('=');
	if (equals == option.npos) return Name_error::UNKNOWN_OPTION;
	std::string_view const key = option.substr(0, equals);
	std::string_view const value = option.substr(equals + 1);

	if (key == "clock_hz") return parse_number(value, 1u, UINT32_MAX, name.clock_hz);
	if (key == "locality") return parse_number<uint8_t>(value, 0, 4, name.locality);
	if (name.kind != Host_name::Kind::SIM) return Name_error::UNKNOWN_OPTION;
	if (key == "select") return parse_number<uint8_t>(value, 0, 7, name.select);
	if (key == "wait_states") return parse_number(value, 0u, 100'000u, name.wait_states);
	if (key == "burst_count") return parse_number<uint16_t>(value, 1, 4096, name.burst_count);
	if (key == "conditional") return parse_bool(value, name.conditional);
	if (key == "keeps_selected") return parse_bool(value, name.keeps_selected);
	if (key != "control") return Name_error::UNKNOWN_OPTION;
	if (value.empty()) return Name_error::NO_PATH;
	name.control = value;
	return Ok{};
}

Attempt<Host_name, Name_error> parse_host_name(std::string_view text)
{
	constexpr std::string_view SPIDEV = "spidev:", SIM = "sim:";
	bool const spidev = text.starts_with(SPIDEV);
	if (!spidev && !text.starts_with(SIM)) return Name_error::NO_KIND;
	Host_name name{.kind = spidev ? Host_name::Kind::SPIDEV : Host_name::Kind::SIM, .path = {}};
	text.remove_prefix(spidev ? SPIDEV.size() : SIM.size());

	size_t end = std::min(text.find(','), text.size());
	name.path = text.substr(0, end);
	if (name.path.empty()) return Name_error::NO_PATH;
	while (end < text.size()) {
		text.remove_prefix(end + 1);
		end = std::min(text.find(','), text.size());
		TRY(parse_option(text.substr(0, end), name));
	}
	if (!spidev && name.locality != 0 && name.control.empty()) return Name_error::NO_CONTROL;
	return name;
}

} // namespace bulkhead::sdk
