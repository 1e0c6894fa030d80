#include "component/qrexec/agent/handover.h"

#include <array>
#include <cstring>

namespace bulkhead::qrexec {
namespace {

enum Index : size_t { TYPE, DOMAIN, PORT, LENGTH }; // of the numbers

} // namespace

std::string handover_of(Service_request const &request)
{
	size_t const user_end = request.line.find(':');
	std::string_view const line =
		std::string_view(request.line).substr(user_end == std::string::npos ? 0 : user_end + 1);
	std::array<uint32_t, 4> head{};
	head[TYPE] = static_cast<uint32_t>(request.type);
	head[DOMAIN] = request.params.domain;
	head[PORT] = request.params.port;
	head[LENGTH] = static_cast<uint32_t>(line.size() + 1);
	std::string message(reinterpret_cast<char const *>(head.data()), sizeof(head));
	message += line;
	message += '\0';
	return message;
}

uint32_t Handover_reader::_number(size_t index) const
{
	uint32_t number = 0;
	std::memcpy(&number, _bytes.data() + index * sizeof(number), sizeof(number));
	return number;
}

size_t Handover_reader::wanted() const
{
	size_t const whole = _bytes.size() < HEAD_BYTES ? HEAD_BYTES : HEAD_BYTES + _number(LENGTH);
	return whole - _bytes.size();
}

Handover_reader::Outcome Handover_reader::add(std::string_view bytes)
{
	BULKHEAD_ASSERT(bytes.size() <= wanted());
	_bytes += bytes;
	if (_bytes.size() < HEAD_BYTES) return Outcome::MORE;
	auto const type = static_cast<Type>(_number(TYPE));
	uint32_t const length = _number(LENGTH);
	if (type != Type::EXEC_CMDLINE && type != Type::JUST_EXEC) return Outcome::WRONG;
	if (length == 0 || length > COMMAND_MAX) return Outcome::WRONG;
	if (wanted() > 0) return Outcome::MORE;
	// The one NUL is the last byte.
	return _bytes.find('\0', HEAD_BYTES) == _bytes.size() - 1 ? Outcome::WHOLE : Outcome::WRONG;
}

std::unique_ptr<Service_request> Handover_reader::request() const
{
	auto request = std::make_unique<Service_request>();
	request->type = static_cast<Type>(_number(TYPE));
	request->params = {_number(DOMAIN), _number(PORT)};
	request->line = _bytes.substr(HEAD_BYTES, _number(LENGTH) - 1);
	return request;
}

} // namespace bulkhead::qrexec
