#include "rpc/qrexec/message_reader.h"

namespace bulkhead::qrexec {

std::string_view name_of(Stream_fault fault)
{
	switch (fault) {
	case Stream_fault::NOT_PERMITTED: return "a message of a type or size that isn't permitted";
	case Stream_fault::TOO_LONG: return "a message that is too long";
	case Stream_fault::NO_HELLO: return "no HELLO at the beginning";
	case Stream_fault::SECOND_HELLO: return "a second HELLO";
	case Stream_fault::OLD_VERSION: return "a protocol version that is too old";
	}
	return "an unknown fault";
}

Message_reader::Message_reader(Mutable_bytes buffer, Direction direction, uint32_t own_version)
	: _buffer(buffer), _direction(direction), _own_version(own_version)
{
	BULKHEAD_ASSERT(buffer.size() >= Header::BYTES + 4);
	reset();
}

void Message_reader::reset()
{
	_version = _direction == Direction::PROGRAM_TO_AGENT ? _own_version : 0;
	_filled = 0;
	_whole = false;
	_fault = {};
}

bool Message_reader::_fill(size_t wanted, Bytes &from)
{
	size_t const n = copy_bytes(_buffer.subspan(_filled, wanted - _filled), from);
	_filled += n;
	from = from.subspan(n);
	return _filled == wanted;
}

std::optional<Stream_fault> Message_reader::_check(Header header) const
{
	bool const hello = static_cast<Type>(header.type) == Type::HELLO;
	if (_version == 0 && !hello) return Stream_fault::NO_HELLO;
	if (!permitted(_direction, _version, header)) return Stream_fault::NOT_PERMITTED;
	if (_version != 0 && hello) return Stream_fault::SECOND_HELLO;
	if (header.size > _buffer.size() - Header::BYTES) return Stream_fault::TOO_LONG;
	return {};
}

Attempt<std::optional<Message_reader::Message>, Stream_fault> Message_reader::read(Bytes &from)
{
	if (_fault) return *_fault;
	if (_whole) {
		_whole = false;
		_filled = 0;
	}
	if (_filled < Header::BYTES) {
		if (!_fill(Header::BYTES, from)) return std::optional<Message>();
		_fault = _check(decode_header(_buffer));
		if (_fault) return *_fault;
	}
	Header const header = decode_header(_buffer);
	if (!_fill(Header::BYTES + header.size, from)) return std::optional<Message>();

	_whole = true;
	Message const message{
		static_cast<Type>(header.type), _buffer.subspan(Header::BYTES, header.size)};
	if (message.type == Type::HELLO) {
		auto const version = common_version(_own_version, decode_number(message.body));
		if (!version) {
			_fault = Stream_fault::OLD_VERSION;
			return *_fault;
		}
		_version = *version;
	}
	return std::optional(message);
}

} // namespace bulkhead::qrexec
