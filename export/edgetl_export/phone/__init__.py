"""The phone: a bundle becomes a static web page that classifies in the browser."""
