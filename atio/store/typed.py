"""Values of a declared type, through pydantic; imported only where a model is given."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from atio.errors import InputError, SchemaError
from atio.store.store import ValueCodec

_SHOWN = 3


class TypedCodec:
    """A codec whose values fit a model.

    The file holds the model's JSON form (in whatever format), and what is written is known to be accepted
    when it is read.

    Parameters
    ----------
    codec
        Writes and reads the plain form.
    model
        A pydantic model, a dataclass, a ``TypedDict``, or any other type that pydantic validates.
    """

    def __init__(self, codec: ValueCodec, model: Any) -> None:
        self._codec = codec
        self._model = getattr(model, "__name__", repr(model))
        self._adapter: TypeAdapter[Any] = TypeAdapter(model)
        self.name = codec.name

    def encode(self, value: Any) -> bytes:
        """Return the bytes of the file.

        Raises
        ------
        SchemaError
            The value does not fit the model.
        """
        value = self.checked(value)
        try:
            plain = self._adapter.dump_python(
                value, mode="json", by_alias=True, round_trip=True, warnings="error"
            )
            # A model may have been changed into what it would refuse.
            self._adapter.validate_json(to_json(plain))
        except (ValidationError, PydanticSerializationError) as error:
            raise self._misfit("the value", error) from error
        return self._codec.encode(plain)

    def decode(self, data: bytes) -> Any:
        """Return the value.

        Raises
        ------
        DamagedError
            The bytes are not what the format writes.
        SchemaError
            They are, but do not fit the model.
        """
        plain = self._codec.decode(data)
        try:
            # As JSON also from other formats: strict models take dates and the like as text only there.
            return self._adapter.validate_json(to_json(plain))
        except (ValidationError, PydanticSerializationError) as error:
            raise self._misfit("what the file holds", error) from error

    def checked(self, value: Any) -> Any:
        """Return the value as the model has it: a dict becomes an instance.

        Raises
        ------
        SchemaError
            It does not fit.
        """
        try:
            return self._adapter.validate_python(value)
        except ValidationError as error:
            raise self._misfit("the value", error) from error

    def default(self, value: Any) -> Any:
        """Return the default as the model has it; None stands for the model's own defaults."""
        try:
            return self._adapter.validate_python(value)
        except ValidationError as error:
            if value is not None:
                raise self._misfit("the default", error) from error
        try:
            return self._adapter.validate_python({})
        except ValidationError as error:
            raise InputError(
                f"there is no file yet, and {self._model} has no defaults of its own", hint="give default="
            ) from error

    def _misfit(self, what: str, error: ValidationError | PydanticSerializationError) -> SchemaError:
        if isinstance(error, ValidationError):
            found = error.errors(include_url=False, include_context=False, include_input=False)
            reasons = [f"{'.'.join(map(str, one['loc'])) or 'value'}: {one['msg']}" for one in found[:_SHOWN]]
            if len(found) > _SHOWN:
                reasons.append(f"and {len(found) - _SHOWN} more")
        else:
            reasons = [str(error)]
        return SchemaError(
            f"{what} does not fit {self._model}: {'; '.join(reasons)}",
            hint="the file was left as it was; change the value, or the model",
        )
