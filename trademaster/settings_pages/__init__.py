"""The settings of an account as plain pages: forms that work without JavaScript, over the services behind the API.

They stand together, and not each in its room, because they share one look, one way to ask for a fresh proof and one way
to put a refusal beside its field, and because some of them join what several rooms hold. No rule is written here: input
is judged by the API's serializers, and what may not be is refused by the services.
"""
